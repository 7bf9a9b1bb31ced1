"""Computes the reference's log-probabilities once, before training, and keeps them in the run's directory."""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow
import pyarrow.parquet
from torch import nn

from training.ml.evaluate import LogRatios, response_logps
from training.ml.pairs import Pair

FILE = "reference.parquet"


def stored_reference(directory: Path, model: nn.Module, pairs: list[Pair], batch_size: int) -> LogRatios:
    """Log-probabilities of both responses under `model` as it is now; read back if the run has them already."""
    path = directory / FILE
    ids = [pair.id for pair in pairs]
    if path.exists():
        table = pyarrow.parquet.read_table(path).to_pydict()
        if table["id"] == ids:
            return dict(zip(ids, zip(table["chosen"], table["rejected"], strict=True), strict=True))
    found = response_logps(model, pairs, batch_size)
    columns = {"id": ids, "chosen": [found[name][0] for name in ids], "rejected": [found[name][1] for name in ids]}
    temporary = path.with_suffix(".tmp")
    pyarrow.parquet.write_table(pyarrow.table(columns), temporary)
    os.replace(temporary, path)
    return found
