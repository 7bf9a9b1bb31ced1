"""Where a run keeps its files, and which of them are a model's."""

from pathlib import Path

from django.conf import settings

from training.models import Artifact, Run


def folder_of(run: Run) -> Path:
    return Path(settings.RUNS_DIR) / str(run.pk)


def artifact_folder(run: Run) -> Path:
    return folder_of(run) / "artifact"


def log_of(run: Run) -> Path:
    return folder_of(run) / "run.log"


def progress_of(run: Run) -> Path:
    return folder_of(run) / "progress.jsonl"


def nearest_existing(folder: Path) -> Path:
    """The folder, or the one above it in which it will be made: where the room on its disk can be measured."""
    return next(parent for parent in (folder, *folder.parents) if parent.exists())


def own_folder(artifact: Artifact) -> Path | None:
    """The folder that its run has written, if it lies where runs lie; None for what was only registered."""
    if artifact.run is None:
        return None
    folder = artifact_folder(artifact.run)
    place = folder.resolve()
    inside = place.is_relative_to(Path(settings.RUNS_DIR).resolve())
    return folder if inside and Path(artifact.location) == place else None
