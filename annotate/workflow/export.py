"""Export: a snapshot as JSON Lines in TRL's conversational preference format."""

import json
from collections.abc import Iterator

import pyarrow.parquet as pq
from pyarrow import ArrowException

from annotate.models import Snapshot, Split
from annotate.workflow.exceptions import SnapshotFilesGone
from annotate.workflow.snapshots import parquet_path

COLUMNS = ["prompt", "chosen", "rejected"]


def export_lines(*, snapshot: Snapshot, split: str | None = None) -> Iterator[str]:
    """One line a pair: {"prompt": [...], "chosen": [...], "rejected": [...]}, without loading the whole snapshot.

    `split`: "train" or "test"; None for both, train first. Raises SnapshotFilesGone at once, not when it is read.
    """
    return _lines([_opened(snapshot, name) for name in ([Split(split)] if split else list(Split))])


def require_readable(snapshot: Snapshot, split: str) -> None:
    """Before its file is handed out as it is. Raises SnapshotFilesGone."""
    _opened(snapshot, split).close()


def _opened(snapshot: Snapshot, split: str) -> pq.ParquetFile:
    path = parquet_path(snapshot, split)
    try:
        return pq.ParquetFile(path)
    except (OSError, ArrowException) as error:
        raise SnapshotFilesGone(snapshot.number, path) from error


def _lines(files: list[pq.ParquetFile]) -> Iterator[str]:
    for file in files:
        for batch in file.iter_batches(batch_size=1000, columns=COLUMNS):
            for row in batch.to_pylist():
                yield json.dumps(row, ensure_ascii=False) + "\n"
