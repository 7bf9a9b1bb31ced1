"""Published tables and their coefficients, read from the data that lies beside the checkout."""

import gzip
import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from annotate.statistics.judgments import Judgments

DATA = Path(__file__).resolve().parents[4] / "shared" / "data"
CODES = {"a": 0, "tie": 1, "b": 2}


def entry(entry_id: str) -> dict[str, Any]:
    """One entry of classic.json; skips the test, with the path, where the data are not there."""
    return _entries(_present("classic.json"))[entry_id]


def comparisons(name: str) -> list[dict[str, Any]]:
    """The rows of one gzipped comparison file."""
    with gzip.open(_present(name), "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


@cache
def judgments_of_file(name: str) -> Judgments:
    triples = [
        (row["id"], annotation["annotator"], CODES[annotation["choice"]])
        for row in comparisons(name)
        for annotation in row["annotations"]
    ]
    return Judgments.from_arrays(*zip(*triples, strict=True))


def judgments_of_table(raters_by_units: list[list[int | None]]) -> Judgments:
    """A raters x units table with None for a missing value."""
    cells = [
        (unit, rater, label)
        for rater, row in enumerate(raters_by_units)
        for unit, label in enumerate(row)
        if label is not None
    ]
    return Judgments.from_arrays(*zip(*cells, strict=True), categories=1 + max(label for _, _, label in cells))


def judgments_of_crosstable(table: list[list[int]]) -> Judgments:
    """Two raters' crosstable: the first in the rows."""
    cells = np.repeat(np.argwhere(np.ones_like(table)), np.ravel(table), axis=0)
    return judgments_of_table(cells.T.tolist())


def _present(name: str) -> Path:
    path = DATA / name
    if not path.exists():
        pytest.skip(f"the published data are not beside this checkout: no shared/data/{name} next to the repository")
    return path


@cache
def _entries(path: Path) -> dict[str, dict[str, Any]]:
    return {found["id"]: found for found in json.loads(path.read_text(encoding="utf-8"))}
