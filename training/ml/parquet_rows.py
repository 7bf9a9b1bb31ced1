"""Reads the rows of a Parquet file that the left wing wrote, and says which column is missing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet

from training.ml.errors import ModelError
from training.recipes.words import gettext_noop

HINT = gettext_noop("Freeze the snapshot again, or upload the file again.")


def read_rows(path: Path, columns: Sequence[str], optional: Sequence[str] = ()) -> list[dict[str, Any]]:
    """The named columns of every row, and of the `optional` ones those that the file has: snapshots frozen by an
    earlier version have fewer. Raises ModelError("bad_data")."""
    try:
        table = pyarrow.parquet.read_table(path)
    except (OSError, pyarrow.ArrowException) as error:
        message = gettext_noop("%(path)s cannot be read as Parquet: %(error)s")
        raise ModelError("bad_data", message, HINT, path=path, error=error) from error
    if missing := [name for name in columns if name not in table.column_names]:
        message = gettext_noop("%(path)s has no column %(missing)s; it has %(found)s.")
        found = ", ".join(table.column_names) or "-"
        raise ModelError("bad_data", message, HINT, path=path, missing=", ".join(missing), found=found)
    return table.select([*columns, *(name for name in optional if name in table.column_names)]).to_pylist()
