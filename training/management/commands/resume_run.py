"""manage.py resume_run: a run that failed or was cancelled goes on from its last checkpoint."""

from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db import transaction
from django.utils.translation import gettext as _

from annotate.management.project_command import named_user, project_named
from annotate.management.telling import TellingCommand
from annotate.models import User
from training.management import options
from training.models import Run, RunState
from training.workflow import rounds


class Command(TellingCommand):
    help = "Put a failed or cancelled run back into the queue; it goes on from its last checkpoint."

    def add_arguments(self, parser: CommandParser) -> None:
        options.add_run_arguments(parser)
        parser.add_argument(
            "--wait", action="store_true", help="Carry it out here instead of leaving it to the worker."
        )

    def handle(self, *args: Any, **given: Any) -> None:
        with options.clear_errors():
            run = options.run_numbered(project_named(given["project"]), given["run"])
            self.resume(run, named_user(given["by"]), given["wait"])
            options.carry_out_or_send(run, given["wait"])
        options.report(self, given["json"], options.facts_of(run), f"{run.name}: {run.get_state_display()}")

    @transaction.atomic
    def resume(self, run: Run, actor: User | None, wait: bool) -> None:
        """Nothing is changed of a run that could not be waited for: its turn comes with the end of another."""
        rounds.resume(run, actor=actor)
        if wait and run.state == RunState.WAITING:
            said = _("“%(run)s” cannot be carried out here: a stage of its round before it is not done.")
            raise CommandError(said % {"run": run} + " " + _("Resume that one first, or leave --wait away."))
