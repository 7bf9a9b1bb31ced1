"""Builds single votes with a planted rule: a response that names its steps is desirable, one that does not is not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet

from annotate.workflow.feedback import SCHEMA
from tests.training.planted import planted_rows


def vote_rows(n: int, *, seed: int = 0) -> list[dict[str, Any]]:
    """`n` votes, one per prompt, every third one undesirable: as in production, more thumbs go up."""
    sides = ["chosen", "chosen", "rejected"]
    return [
        {"id": row["id"], "prompt": row["prompt"], "completion": row[side], "label": side == "chosen"}
        for row, side in zip(planted_rows(n, seed=seed), sides * n, strict=False)
    ]


def write_vote_rows(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows, schema=SCHEMA), path)
    return path


def write_votes(directory: Path, *, train: int, test: int, seed: int = 0) -> dict[str, Any]:
    """train.parquet and test.parquet; the `data` of a job.json."""
    rows = vote_rows(train + test, seed=seed)
    return {
        "train": str(write_vote_rows(directory / "train.parquet", rows[:train])),
        "test": str(write_vote_rows(directory / "test.parquet", rows[train:])),
        "snapshot_hash": f"votes-{seed}-{train}-{test}",
        "unpaired": True,
    }
