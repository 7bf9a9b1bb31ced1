"""`alignment_tax PROJECT`: what a run's policy, or a round's policies, have unlearned."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError
from django.utils.translation import gettext as _

from annotate.management.project_command import ProjectCommand
from annotate.models import Project
from training.management.options import run_numbered
from training.models import Run
from training.workflow.alignment_tax import newest_probed, policies_of, rows_of


class Command(ProjectCommand):
    help = "Prints probes and perplexities before and after the training of policies, with intervals of the change."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        which = parser.add_mutually_exclusive_group()
        which.add_argument("--run", type=int, help="number of a run (default: the newest that was probed)")
        which.add_argument("--round", type=int, help="number of a round: all policies that it has made")

    def act(self, project: Project, **options: Any) -> dict[str, Any]:
        rows = list(rows_of(self.chosen(project, options)))
        if rows:
            return {"rows": rows}
        raise CommandError(_("Nothing has been probed there. Policies are probed at the end of their training."))

    def chosen(self, project: Project, options: dict[str, Any]) -> list[Run]:
        if options["run"] is not None:
            return [run_numbered(project, options["run"])]
        if options["round"] is not None:
            round = project.rounds.filter(number=options["round"]).first()
            if round is None:
                raise CommandError(_("There is no round %(number)s.") % {"number": options["round"]})
            return policies_of(round)
        newest = newest_probed(project.runs)
        return [newest] if newest else []

    def describe(self, result: dict[str, Any]) -> str:
        lines = [_line(row) for row in result["rows"]]
        left_out = {f"run {row['run']} {row['set']}": row["left_out"] for row in result["rows"] if row["left_out"]}
        return "\n".join(lines + [f"{name}: {n} left out, not fitting into the model" for name, n in left_out.items()])


def _line(row: dict[str, Any]) -> str:
    name = ", ".join(part for part in (f"run {row['run']} {row['set']}", row["tag"], row["measure"]) if part)
    if row["change"] is None:
        return f"{name}: {row['reason']}"
    sides = f"{row['before']:.3f} → {row['after']:.3f}"
    sign = "" if row["measure"] == "perplexity" else "+"
    change = f"{row['change']:{sign}.3f} [{row['change_low']:{sign}.3f}, {row['change_high']:{sign}.3f}]"
    return f"{name}: {sides}, {'×' if not sign else 'change'} {change}, n = {row['n']}: {row['verdict']}"
