"""Reads a file of comparisons as a stream of records: JSONL, CSV (both also gzipped) or Parquet, by its name."""

import gzip
import io
import json
import zlib
from collections.abc import Iterator
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq
from django.utils.translation import gettext as _

from annotate.workflow.uploaded_lines import Problem, Record, read_csv, read_jsonl

CSV_COLUMNS = ("id", "prompt", "response_a", "response_b")
# Nobody's prompt is longer; a file without line ends must not fill the memory.
LONGEST_LINE = 16 * 2**20
ROWS_AT_ONCE = 500
Numbered = Iterator[tuple[int, Record | Problem]]


def read_records(stream: BinaryIO, name: str) -> Numbered:
    """Line number (of Parquet: row number, from 1) and record of a file that is called `name`; reads from its start.

    A file that cannot be read to its end gives a Problem as its last record.
    """
    stream.seek(0)
    plain = name.lower().removesuffix(".gz")
    try:
        if plain.endswith(".parquet"):
            yield from _read_parquet(stream)
        else:
            packed = gzip.GzipFile(fileobj=stream) if name.lower().endswith(".gz") else stream
            yield from _read_text(packed, is_csv=plain.endswith(".csv"))  # type: ignore[arg-type]
    except UnicodeDecodeError as error:
        yield 0, Problem("", _("not UTF-8 (%(error)s): save it with the encoding UTF-8") % {"error": error.reason})
    except (EOFError, gzip.BadGzipFile, zlib.error, pa.ArrowException) as error:
        yield 0, Problem("", _("is damaged, or no file of this kind (%(error)s)") % {"error": error})
    except Problem as problem:
        yield 0, problem


def _read_text(stream: BinaryIO, *, is_csv: bool) -> Numbered:
    text = io.TextIOWrapper(stream, encoding="utf-8-sig", newline="" if is_csv else "\n")
    try:
        yield from read_csv(_lines(text), CSV_COLUMNS) if is_csv else read_jsonl(_lines(text))
    finally:
        # A wrapper that is thrown away would close the caller's file.
        text.detach()


def _lines(text: io.TextIOWrapper) -> Iterator[str]:
    while line := text.readline(LONGEST_LINE):
        if len(line) == LONGEST_LINE:
            raise Problem("", _("has a line of more than %(n)s million characters") % {"n": LONGEST_LINE // 10**6})
        yield line


def _read_parquet(stream: BinaryIO) -> Numbered:
    number = 0
    for batch in pq.ParquetFile(stream, pre_buffer=False).iter_batches(batch_size=ROWS_AT_ONCE):
        for row in batch.to_pylist():
            number += 1
            # Times and the like become text, as they would be in JSON; an empty cell is no cell.
            record = json.loads(json.dumps(row, default=str))
            yield number, {name: value for name, value in record.items() if value is not None}
