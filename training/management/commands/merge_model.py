"""manage.py merge_model: a full model out of an adapter and what it stands on."""

from typing import Any

from django.core.management.base import CommandParser

from annotate.management.project_command import named_user, project_named
from annotate.management.telling import TellingCommand
from training.management import options
from training.workflow.artifacts import model_named
from training.workflow.exporting import start_merge


class Command(TellingCommand):
    help = "Merge an adapter into its base model; the result is a model of the project."

    def add_arguments(self, parser: CommandParser) -> None:
        options.add_model_arguments(parser)
        parser.add_argument(
            "--wait", action="store_true", help="Carry it out here instead of leaving it to the worker."
        )

    def handle(self, *args: Any, **given: Any) -> None:
        with options.clear_errors():
            model = model_named(project_named(given["project"]), given["model"])
            run = start_merge(model, actor=named_user(given["by"]))
            options.carry_out_or_send(run, given["wait"])
        text = f"{run.name}: {run.get_state_display()} (run {run.pk})"
        options.report(self, given["json"], options.facts_of(run), text)
