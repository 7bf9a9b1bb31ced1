"""`import_probes PROJECT FILE`: a set of probes from JSONL, all or nothing."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError

from annotate.management.project_command import ProjectCommand, named_user
from annotate.models import Project
from training.workflow.probes import import_probes


class Command(ProjectCommand):
    help = "Imports questions with choices from a JSONL file as one set; with one bad line nothing is stored."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("file", type=Path, help="path of a .jsonl file, UTF-8")
        parser.add_argument("--name", help="name of the set (default: the file's name)")
        parser.add_argument("--by", help="account that the set is recorded under")

    def act(self, project: Project, **options: Any) -> dict[str, Any]:
        path: Path = options["file"]
        actor = named_user(options["by"])
        try:
            with path.open(encoding="utf-8", newline="") as lines:
                stored, created = import_probes(
                    project=project, name=options["name"] or path.stem, lines=lines, actor=actor
                )
        except (OSError, UnicodeDecodeError) as error:
            raise CommandError(f"{path} cannot be read: {error}. Give the path of a UTF-8 text file.") from error
        return {"id": stored.pk, "name": stored.name, "created": created, "questions": stored.size}
