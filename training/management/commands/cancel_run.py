"""manage.py cancel_run: a run that has not begun ends, one at work stops at its next step with a checkpoint."""

from typing import Any

from django.core.management.base import CommandParser

from annotate.management.project_command import named_user, project_named
from annotate.management.telling import TellingCommand
from training.management import options
from training.workflow import runs


class Command(TellingCommand):
    help = "Cancel a run. What it has learned so far is kept: resume_run goes on from its last checkpoint."

    def add_arguments(self, parser: CommandParser) -> None:
        options.add_run_arguments(parser)

    def handle(self, *args: Any, **given: Any) -> None:
        with options.clear_errors():
            run = options.run_numbered(project_named(given["project"]), given["run"])
            runs.request_cancel(run, actor=named_user(given["by"]))
        run.refresh_from_db()
        options.report(self, given["json"], options.facts_of(run), f"{run.name}: {run.get_state_display()}")
