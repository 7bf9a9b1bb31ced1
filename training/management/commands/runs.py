"""manage.py runs: a project's runs, found as on their page, with the figure that each is looked at by."""

from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.utils.translation import ngettext

from annotate.management.project_command import project_named
from annotate.management.telling import TellingCommand
from annotate.models import Project
from training.forms import FindRunsForm
from training.management import options
from training.models import Run, RunState
from training.recipes import RECIPES
from training.workflow.artifacts import model_named
from training.workflow.finding import SORTS, find
from training.workflow.headlines import headline_of
from training.workflow.runs import hint_of, reason_of
from training.workflow.waiting import waits_of

ASKED = ("q", "recipe", "state", "snapshot", "round", "pinned", "sort")
TIMES = ("created_at", "started_at", "ended_at")


class Command(TellingCommand):
    help = "List the runs of a project, the newest first and pinned ones before them; or such as are asked for."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("project", help="Short name of the project.")
        parser.add_argument("--q", default="", metavar="WORDS", help="Words of the name, or the number of a run.")
        parser.add_argument("--recipe", choices=RECIPES, default="", help="Of one recipe (default: all).")
        parser.add_argument("--state", choices=RunState.values, default="", help="In one state (default: all).")
        parser.add_argument("--model", default="", metavar="NAME", help="That began with this model.")
        parser.add_argument("--snapshot", type=int, metavar="N", help="That learned from this snapshot.")
        parser.add_argument("--round", type=int, metavar="N", help="Of this round.")
        parser.add_argument("--pinned", action="store_true", help="Pinned ones only.")
        parser.add_argument("--sort", choices=SORTS, default=SORTS[0], help=f"Their order (default: {SORTS[0]}).")
        parser.add_argument(
            "--limit",
            type=options.whole_number(1, 1000),
            default=30,
            metavar="N",
            help="At most so many (default: 30).",
        )
        parser.add_argument("--json", action="store_true", help="Print one JSON object.")

    def handle(self, *args: Any, **given: Any) -> None:
        with options.clear_errors():
            project = project_named(given["project"])
            wanted = self.wanted(project, given)
        found = find(project.runs.select_related("artifact", "model", "feedback"), wanted)
        rows = list(found[: given["limit"]])
        waits = waits_of(rows)
        facts = {"count": found.count(), "runs": [_facts(run, waits.get(run.pk, "")) for run in rows]}
        lines = [_line(run, waits.get(run.pk, "")) for run in rows]
        if facts["count"] > len(rows):
            lines.append(f"{facts['count'] - len(rows)} more: --limit N")
        options.report(self, given["json"], facts, "\n".join(lines) or "No runs.")

    def wanted(self, project: Project, given: dict[str, Any]) -> dict[str, Any]:
        """As the page's form reads it: a round or snapshot that there is not is refused."""
        asked = {name: given[name] for name in ASKED if given[name] is not None}
        if given["model"]:
            asked["model"] = model_named(project, given["model"]).pk
        form = FindRunsForm(project, asked)
        if not form.is_valid():
            raise CommandError(" ".join(f"--{name}: {' '.join(said)}" for name, said in form.errors.items()))
        return form.wanted


def _facts(run: Run, waits_for: str) -> dict[str, Any]:
    """As `train --json` tells one, with where it is and why it ended."""
    times = {name: moment.isoformat() if (moment := getattr(run, name)) else None for name in TIMES}
    why = {"waits_for": waits_for, "code": run.failure.get("code", ""), "reason": reason_of(run), "hint": hint_of(run)}
    return {**options.facts_of(run), "pinned": run.pinned, "progress": run.progress, **why, **times}


def _line(run: Run, waits_for: str) -> str:
    artifact = getattr(run, "artifact", None)
    figure = headline_of(artifact) if artifact else None
    said = waits_for or reason_of(run) or (figure.note if figure else "")
    if "comparisons" in run.result:
        made = run.result["comparisons"]
        said = said or ngettext("%(n)s comparison", "%(n)s comparisons", made) % {"n": made}
    if figure is not None and figure.value is not None:
        said = f"{figure.name} {figure.value:.3f}"
        if figure.low is not None and figure.high is not None:
            said += f" [{figure.low:.3f}, {figure.high:.3f}], n = {figure.n}"
    return f"{run.pk:>5}  {run.recipe:<8} {run.state:<10} {run.name}{': ' if said else ''}{said}"
