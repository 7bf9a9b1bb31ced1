"""`export PROJECT --format trl --output PATH`: a snapshot as a file that TRL loads as it is."""

import os
import shutil
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError

from annotate.management.project_command import ProjectCommand
from annotate.models import Project, Snapshot, Split
from annotate.workflow.export import export_lines, require_readable
from annotate.workflow.snapshots import freeze, parquet_path


class Command(ProjectCommand):
    help = (
        "Exports a snapshot (by default: the project as it is now) as JSONL in TRL's preference format, or as Parquet."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--format", choices=["trl", "parquet"], default="trl")
        parser.add_argument("--output", type=Path, required=True, help="file to write; must not exist yet")
        parser.add_argument(
            "--snapshot",
            type=int,
            help="number of the snapshot; default: freeze the project now, as the command snapshot does",
        )
        parser.add_argument(
            "--split", choices=[*Split.values, "all"], default="all", help="default: all; Parquet takes train or test"
        )

    def act(self, project: Project, **options: Any) -> dict[str, Any]:
        output, split = options["output"], options["split"]
        if output.exists():
            raise CommandError(f"{output} exists already. Name another file, or remove this one first.")
        if options["format"] == "parquet" and split == "all":
            raise CommandError("Parquet files hold one split each: add --split train or --split test.")
        snapshot = _snapshot(project, options["snapshot"])
        temporary = output.with_name(output.name + ".part")
        try:
            pairs = _write(snapshot, temporary, options["format"], split)
            os.replace(temporary, output)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            raise CommandError(f"{output} cannot be written: {error}") from error
        return {
            "snapshot": snapshot.number,
            "content_hash": snapshot.content_hash,
            "pairs": pairs,
            "output": str(output),
        }


def _snapshot(project: Project, number: int | None) -> Snapshot:
    if number is None:
        return freeze(project=project)[0]
    snapshot = project.snapshots.filter(number=number).first()
    if snapshot is None:
        known = ", ".join(str(n) for n in project.snapshots.values_list("number", flat=True)) or "none yet"
        raise CommandError(f"There is no snapshot {number} in this project. Snapshots: {known}.")
    return snapshot


def _write(snapshot: Snapshot, path: Path, format: str, split: str) -> int:
    """The number of pairs written."""
    if format == "parquet":
        require_readable(snapshot, split)
        shutil.copyfile(parquet_path(snapshot, split), path)
        return int(snapshot.counts[split])
    pairs = 0
    with path.open("w", encoding="utf-8") as file:
        for line in export_lines(snapshot=snapshot, split=None if split == "all" else split):
            file.write(line)
            pairs += 1
    return pairs
