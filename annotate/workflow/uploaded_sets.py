"""What sets that are uploaded have in common: a share held out, rows that are hashed, files that are never changed."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
from django.utils.translation import gettext as _

from annotate.models import DemonstrationSet, FeedbackSet, Split
from annotate.workflow.exceptions import WorkflowError
from annotate.workflow.parquet_folder import write_folder


class SetRow(Protocol):
    """One line of an upload; `canonical` is what is hashed and written, without ids of this database."""

    split: Split

    def canonical(self) -> dict[str, Any]: ...


def require_share(test_share: float) -> None:
    if not 0 <= test_share <= 0.9:
        raise WorkflowError(_("The test share is %(x)s.") % {"x": test_share}, _("Use a number from 0 to 0.9."))


def hash_of_rows(rows: Sequence[SetRow]) -> str:
    """In their order, each with its split."""
    digest = hashlib.sha256(b'{"format": 1}')
    for row in rows:
        line = {"split": str(row.split), **row.canonical()}
        digest.update(b"\n" + json.dumps(line, sort_keys=True, ensure_ascii=False).encode())
    return digest.hexdigest()


def write_rows(
    rows: Sequence[SetRow], schema: pa.Schema, existing: DemonstrationSet | FeedbackSet | None, new: Path
) -> Path:
    """A file for each split, in the folder of the set that is there or in a new one. What does not read back is written
    again."""
    by_split = {str(split): [row.canonical() for row in rows if row.split == split] for split in Split}
    return write_folder(Path(existing.folder) if existing else new, by_split, schema)
