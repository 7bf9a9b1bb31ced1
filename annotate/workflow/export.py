"""Export: a snapshot as JSON Lines in TRL's conversational preference format."""

import json
from collections.abc import Iterator

import pyarrow.parquet as pq

from annotate.models import Snapshot, Split
from annotate.workflow.snapshots import parquet_path

COLUMNS = ["prompt", "chosen", "rejected"]


def export_lines(*, snapshot: Snapshot, split: str | None = None) -> Iterator[str]:
    """One line a pair: {"prompt": [...], "chosen": [...], "rejected": [...]}, without loading the whole snapshot.

    `split`: "train" or "test"; None for both, train first.
    """
    for name in [Split(split)] if split else list(Split):
        file = pq.ParquetFile(parquet_path(snapshot, name))
        for batch in file.iter_batches(batch_size=1000, columns=COLUMNS):
            for row in batch.to_pylist():
                yield json.dumps(row, ensure_ascii=False) + "\n"
