"""Builds demonstration data with a planted manner: every response names its steps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet

from tests.training.planted import planted_rows

MESSAGES = pyarrow.list_(pyarrow.struct([("role", pyarrow.string()), ("content", pyarrow.string())]))
SCHEMA = pyarrow.schema([("id", pyarrow.string()), ("prompt", MESSAGES), ("response", MESSAGES)])


def demonstration_rows(n: int) -> list[dict[str, Any]]:
    return [{"id": row["id"], "prompt": row["prompt"], "response": row["chosen"]} for row in planted_rows(n)]


def write_demonstration_rows(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows, schema=SCHEMA), path)
    return path


def write_demonstrations(directory: Path, *, train: int, test: int) -> dict[str, str]:
    """train.parquet and test.parquet; the `data` of a job.json."""
    rows = demonstration_rows(train + test)
    return {
        "train": str(write_demonstration_rows(directory / "train.parquet", rows[:train])),
        "test": str(write_demonstration_rows(directory / "test.parquet", rows[train:])),
        "snapshot_hash": f"demonstrations-{train}-{test}",
    }
