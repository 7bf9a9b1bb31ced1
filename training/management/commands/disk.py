"""manage.py disk: what a project takes of the disk, and with --free less of it."""

from dataclasses import asdict
from typing import Any

from django.core.management.base import CommandParser

from annotate.management.project_command import named_user, project_named
from annotate.management.telling import TellingCommand
from training.management import options
from training.workflow.disk_use import FREEABLE, free, measure


class Command(TellingCommand):
    help = "Show what models, checkpoints, exports and caches take; --free removes what can be removed safely."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("project", help="Short name of the project.")
        parser.add_argument(
            "--free",
            choices=FREEABLE,
            default="",
            help="What to remove (default: nothing); reference: of all projects.",
        )
        parser.add_argument("--by", default="", help="Account that is written down.")
        parser.add_argument("--json", action="store_true", help="Print one JSON object.")

    def handle(self, *args: Any, **given: Any) -> None:
        with options.clear_errors():
            project = project_named(given["project"])
            freed = free(project, given["free"], actor=named_user(given["by"])) if given["free"] else 0
            sizes = {name: value for name, value in asdict(measure(project)).items() if isinstance(value, int)}
        facts = {"freed": freed, **sizes}
        text = "\n".join(f"{name}: {size / 1e6:.1f} MB" for name, size in facts.items())
        options.report(self, given["json"], facts, text)
