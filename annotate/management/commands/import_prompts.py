"""`import_prompts PROJECT FILE`: prompts from JSONL or CSV, all or nothing."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError

from annotate.management.project_command import ProjectCommand
from annotate.models import Project
from annotate.workflow.intake import import_prompts


class Command(ProjectCommand):
    help = "Imports prompts from a JSONL or CSV file; with one bad line nothing is stored."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("file", type=Path, help="path of a .jsonl or .csv file, UTF-8")

    def act(self, project: Project, **options: Any) -> dict[str, Any]:
        path: Path = options["file"]
        try:
            with path.open(encoding="utf-8", newline="") as lines:
                report = import_prompts(
                    project=project, lines=lines, format="csv" if path.suffix.lower() == ".csv" else "jsonl"
                )
        except (OSError, UnicodeDecodeError) as error:
            raise CommandError(f"{path} cannot be read: {error}. Give the path of a UTF-8 text file.") from error
        return {"created": report.created, "unchanged": report.unchanged}
