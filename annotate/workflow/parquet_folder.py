"""Writes a folder of Parquet files whole: on the disk, then renamed into place, or not there."""

import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.json
import pyarrow.parquet as pq

MESSAGE = pa.struct([("role", pa.string()), ("content", pa.string())])
Rows = list[dict[str, Any]]


def write_folder(final: Path, files: dict[str, Rows], schema: pa.Schema) -> Path:
    """`final`/NAME.parquet for every name, safe from a power cut at the return.

    A folder that is there already and reads back as these rows is left alone; a torn one is written anew.
    """
    tables = {f"{name}.parquet": table_of(rows, schema) for name, rows in files.items()}
    if _holds(final, tables):
        return final
    final.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f"{final.name[:12]}.", dir=final.parent))
    try:
        fresh = temporary / "fresh"
        fresh.mkdir()
        for name, table in tables.items():
            pq.write_table(table, fresh / name)
            _flush(fresh / name)
        _flush(fresh)
        _put_in_place(fresh, final, tables)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    _flush(final.parent)
    return final


def _holds(folder: Path, tables: dict[str, pa.Table]) -> bool:
    """Not by `read_table`, which loads pandas, 50 MB, into the web process."""
    try:
        return all(_read(folder / name).equals(table) for name, table in tables.items())
    except (OSError, pa.ArrowException):
        return False


def _read(path: Path) -> pa.Table:
    with pq.ParquetFile(path) as file:
        return file.read()


def _put_in_place(fresh: Path, final: Path, tables: dict[str, pa.Table]) -> None:
    try:
        if final.exists():
            os.rename(final, fresh.with_name("torn"))
        os.rename(fresh, final)
    except OSError:
        # Somebody else has frozen the same state at this moment, and theirs is as good.
        if not _holds(final, tables):
            raise


def _flush(path: Path) -> None:
    """fsync a file or a folder's entries."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def table_of(rows: Rows, schema: pa.Schema) -> pa.Table:
    """The rows by way of JSON: `Table.from_pylist` would load pandas, 45 MB, into the web process."""
    if not rows:
        return schema.empty_table()
    lines = [json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in rows]
    # A row has to fit into a block of the reader.
    reading = pyarrow.json.ReadOptions(block_size=max(2**20, 2 * max(map(len, lines))))
    parsing = pyarrow.json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="error")
    return pyarrow.json.read_json(pa.BufferReader(b"".join(lines)), reading, parsing)
