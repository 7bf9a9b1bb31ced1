"""Writes a folder of Parquet files whole: renamed into place, or not there."""

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
    """`final`/NAME.parquet for every name; a folder that is there already, named after its content, is left alone."""
    if final.exists():
        return final
    final.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f"{final.name[:12]}.", dir=final.parent))
    try:
        for name, rows in files.items():
            pq.write_table(table_of(rows, schema), temporary / f"{name}.parquet")
        os.chmod(temporary, 0o755)
        os.rename(temporary, final)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return final


def table_of(rows: Rows, schema: pa.Schema) -> pa.Table:
    """The rows by way of JSON: `Table.from_pylist` would load pandas, 45 MB, into the web process."""
    if not rows:
        return schema.empty_table()
    lines = [json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in rows]
    # A row has to fit into a block of the reader.
    reading = pyarrow.json.ReadOptions(block_size=max(2**20, 2 * max(map(len, lines))))
    parsing = pyarrow.json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="error")
    return pyarrow.json.read_json(pa.BufferReader(b"".join(lines)), reading, parsing)
