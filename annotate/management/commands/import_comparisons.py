"""`import_comparisons PROJECT FILE...`: comparisons judged elsewhere, from JSONL, CSV or Parquet."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import CommandError

from annotate.management.project_command import ProjectCommand, project_named
from annotate.management.telling import refused
from annotate.models import Project
from annotate.workflow.comparison_import import check_comparisons, store_comparisons
from annotate.workflow.comparison_records import IMPORTED
from annotate.workflow.exceptions import UploadRejected


class Command(ProjectCommand):
    help = (
        "Imports comparisons with the judgments of their annotators. All files are checked before the first is stored, "
        "and each is stored as a whole or not at all; importing again adds only what is new."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "files", nargs="+", type=Path, metavar="file", help=".jsonl, .csv (both also .gz) or .parquet"
        )
        parser.add_argument(
            "--annotator", default=IMPORTED, help="who preferred what lines with `chosen` and `rejected` say"
        )
        parser.add_argument("--create", action="store_true", help="create the project if there is none of this name")

    def find(self, slug: str, **options: Any) -> Project:
        if not options["create"] or Project.objects.filter(slug=slug).exists():
            return project_named(slug)
        project = Project(slug=slug, name=slug)
        try:
            project.full_clean()
        except ValidationError as error:
            raise CommandError(f"There can be no project {slug!r}: {' '.join(error.messages)}") from error
        return project

    def act(self, project: Project, **options: Any) -> dict[str, Any]:
        for path in options["files"]:
            _with_file(path, check_comparisons, annotator=options["annotator"])
        total: dict[str, int] = {}
        into = {"project": project, "annotator": options["annotator"]}
        for path in options["files"]:
            brought = _with_file(path, store_comparisons, **into).as_json()
            total = {name: total.get(name, 0) + n for name, n in brought.items()}
        return total


def _with_file(path: Path, verb: Any, **given: Any) -> Any:
    try:
        with path.open("rb") as stream:
            return verb(stream=stream, name=path.name, **given)
    except OSError as error:
        raise CommandError(f"{path} cannot be read: {error}") from error
    except UploadRejected as error:
        raise refused(error, f"{path}: ") from error
