"""manage.py model_card: what a model is made from, its numbers and its limits, as Markdown."""

from typing import Any

from django.core.management.base import CommandParser

from annotate.management.project_command import project_named
from annotate.management.telling import TellingCommand
from training.management import options
from training.workflow.artifacts import model_named
from training.workflow.card_facts import card_for


class Command(TellingCommand):
    help = "Print the model card that an export carries as README.md."

    def add_arguments(self, parser: CommandParser) -> None:
        options.add_model_arguments(parser, acts=False)

    def handle(self, *args: Any, **given: Any) -> None:
        with options.clear_errors():
            card = card_for(model_named(project_named(given["project"]), given["model"]))
        options.report(self, given["json"], {"card": card}, card.rstrip())
