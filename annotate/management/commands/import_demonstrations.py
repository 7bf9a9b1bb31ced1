"""`import_demonstrations PROJECT FILE`: a set of demonstrations from JSONL or CSV, all or nothing."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError

from annotate.management.project_command import ProjectCommand, named_user
from annotate.models import Project
from annotate.workflow.demonstrations import import_demonstrations


class Command(ProjectCommand):
    help = "Imports demonstrations from a JSONL or CSV file as one set; with one bad line nothing is stored."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("file", type=Path, help="path of a .jsonl or .csv file, UTF-8")
        parser.add_argument("--name", help="name of the set (default: the file's name)")
        parser.add_argument("--test-share", type=float, default=0.2, help="share of the prompts held out, 0 to 0.9")
        parser.add_argument("--by", help="account that the set is recorded under")

    def act(self, project: Project, **options: Any) -> dict[str, Any]:
        path: Path = options["file"]
        try:
            with path.open(encoding="utf-8", newline="") as lines:
                brought = import_demonstrations(
                    project=project,
                    name=options["name"] or path.stem,
                    lines=lines,
                    format="csv" if path.suffix.lower() == ".csv" else "jsonl",
                    test_share=options["test_share"],
                    actor=named_user(options["by"]),
                )
        except (OSError, UnicodeDecodeError) as error:
            raise CommandError(f"{path} cannot be read: {error}. Give the path of a UTF-8 text file.") from error
        stored = brought.set
        told = {"id": stored.pk, "name": stored.name, "created": brought.created, **stored.counts}
        return {**told, "forms": {str(form): n for form, n in brought.forms.items()}}

    def describe(self, result: dict[str, Any]) -> str:
        forms = ", ".join(f"{form} {n}" for form, n in result["forms"].items())
        return super().describe({**result, "forms": forms})
