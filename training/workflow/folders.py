"""Where a run keeps its files."""

from pathlib import Path

from django.conf import settings

from training.models import Run


def folder_of(run: Run) -> Path:
    return Path(settings.RUNS_DIR) / str(run.pk)


def artifact_folder(run: Run) -> Path:
    return folder_of(run) / "artifact"


def log_of(run: Run) -> Path:
    return folder_of(run) / "run.log"


def progress_of(run: Run) -> Path:
    return folder_of(run) / "progress.jsonl"
