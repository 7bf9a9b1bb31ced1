"""manage.py peft_bench: the same training with every adapter method; a table of what each costs and brings."""

from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.utils.translation import gettext as _

from annotate.management.project_command import project_named
from annotate.management.telling import TellingCommand
from annotate.models import Project
from training.management import options
from training.models import Bench, RunState
from training.tasks import dispatch_queued
from training.workflow import artifacts, benches
from training.workflow.bench_table import cells_of, rows_of, told_of


class Command(TellingCommand):
    help = "Compare adapter methods on one snapshot. Settings of one method: --set ia3.learning_rate=0.005"

    def add_arguments(self, parser: CommandParser) -> None:
        options.add_common_arguments(parser)
        options.add_queue_arguments(parser)
        parser.add_argument("--recipe", choices=benches.BENCHED, default="reward", help="What is trained.")
        parser.add_argument("--snapshot", type=int, default=None, help="Number of the snapshot (default: the newest).")
        parser.add_argument("--methods", default="", help="Separated by commas (default: all of the recipe's).")
        known = parser.add_mutually_exclusive_group()
        known.add_argument("--show", type=int, metavar="N", help="Only print bench N.")
        known.add_argument("--resume", type=int, metavar="N", help="Run again what of bench N failed or was cancelled.")

    def handle(self, *args: Any, **given: Any) -> None:
        with options.clear_errors():
            project = project_named(given["project"])
            bench = self.chosen(project, given)
            if given["show"] is None:
                self.carry_out(bench, given["wait"])
        found = list(bench.runs.select_related("artifact", "project").order_by("pk"))
        cells = cells_of(bench, found)
        facts = {
            "bench": bench.number,
            "state": benches.state_of(found),
            "rows": rows_of(cells),
            "told": told_of(cells),
        }
        lines = [f"{bench}: {facts['state']}", *map(_line, facts["rows"]), *facts["told"]]
        options.report(self, given["json"], facts, "\n".join(lines))

    def chosen(self, project: Project, given: dict[str, Any]) -> Bench:
        number = given["show"] if given["show"] is not None else given["resume"]
        if number is None:
            return self.start(project, given)
        bench = project.benches.filter(number=number).first()
        if bench is None:
            raise CommandError(_("There is no bench %(number)s.") % {"number": number})
        # A command that waited and was ended has left in the queue what it had not come to: one that waits takes it up.
        waiting = given["wait"] and bench.runs.unfinished().exists()
        if given["resume"] is not None and (not waiting or any(run.can_resume for run in bench.runs.all())):
            benches.resume_bench(bench)
        return bench

    def start(self, project: Project, given: dict[str, Any]) -> Bench:
        settings = options.settings_of(given["set"])
        overrides = {name: value for name, value in settings.items() if isinstance(value, dict)}
        config = {name: value for name, value in settings.items() if name not in overrides}
        return benches.start_bench(
            project,
            given["recipe"],
            options.snapshot_numbered(project, given["snapshot"]),
            artifacts.start_named(project, given["recipe"], given["model"]),
            config,
            methods=[name.strip() for name in given["methods"].split(",") if name.strip()],
            overrides=overrides,
            seed=given["seed"],
            **options.waits_as(given),
        )

    def carry_out(self, bench: Bench, wait: bool) -> None:
        """One method that fails does not keep the others from being measured."""
        if not wait:
            dispatch_queued()
            return
        for run in bench.runs.filter(state__in=(RunState.QUEUED, RunState.RUNNING)).order_by("pk"):
            try:
                options.carry_out(run)
            except CommandError as error:
                self.stderr.write(str(error))


def _line(row: dict[str, Any]) -> str:
    if row["accuracy"] is None:
        return f"  {row['method']}: {row['state']} {row['reason']}".rstrip()
    said = f"  {row['method']}: accuracy {row['accuracy']:.3f} [{row['accuracy_low']:.3f}, {row['accuracy_high']:.3f}]"
    said += f", n = {row['n']}; {row['trainable']:,} trained; {row['seconds']:.1f} s"
    timed = {form: row[f"{form}_ratio"] for form in ("unmerged", "merged")}
    return said + "".join(f"; {form} × {ratio:.2f}" for form, ratio in timed.items() if ratio is not None)
