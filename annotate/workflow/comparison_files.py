"""Reads a file of comparisons as a stream of records: JSONL, CSV (both also gzipped) or Parquet, by its name."""

import gzip
import io
import json
import math
import zlib
from collections.abc import Iterator
from typing import BinaryIO

import pyarrow as pa
from django.utils.translation import gettext as _

from annotate.workflow.comparison_parquet import parquet_rows
from annotate.workflow.preference_records import COLUMNS
from annotate.workflow.record_limits import RecordLimits
from annotate.workflow.uploaded_lines import Problem, Record, read_csv, read_jsonl

CSV_COLUMNS = ("id", "prompt", "response_a", "response_b")
Numbered = Iterator[tuple[int, Record | Problem]]


def read_records(stream: BinaryIO, name: str, most: float = math.inf) -> Numbered:
    """Line number (of Parquet: row number, from 1) and record of a file that is called `name`; reads from its start.

    A file that cannot be read to its end gives a Problem as its last record: it is damaged, has a record that is too
    long to hold in memory, or, once unpacked, more than `most` characters.
    """
    stream.seek(0)
    plain = name.lower().removesuffix(".gz")
    limits = RecordLimits(most)
    try:
        if plain.endswith(".parquet"):
            yield from _read_parquet(stream, limits)
        else:
            packed = gzip.GzipFile(fileobj=stream) if name.lower().endswith(".gz") else stream
            yield from _read_text(packed, limits, is_csv=plain.endswith(".csv"))  # type: ignore[arg-type]
    except UnicodeDecodeError as error:
        yield 0, Problem("", _("not UTF-8 (%(error)s): save it with the encoding UTF-8") % {"error": error.reason})
    except (EOFError, gzip.BadGzipFile, zlib.error, pa.ArrowException) as error:
        yield 0, Problem("", _("is damaged, or no file of this kind (%(error)s)") % {"error": error})
    except Problem as problem:
        yield limits.number, problem


def _read_text(stream: BinaryIO, limits: RecordLimits, *, is_csv: bool) -> Numbered:
    text = io.TextIOWrapper(stream, encoding="utf-8-sig", newline="" if is_csv else "\n")
    lines = _lines(text, limits)
    try:
        for number, record in read_csv(lines, CSV_COLUMNS, (COLUMNS,)) if is_csv else read_jsonl(lines):
            # A record of a CSV file may have any number of lines: it ends where the reader says so.
            limits.begin(number + 1)
            yield number, record
    finally:
        # A wrapper that is thrown away would close the caller's file.
        text.detach()


def _lines(text: io.TextIOWrapper, limits: RecordLimits) -> Iterator[str]:
    while line := text.readline(limits.longest + 1):
        limits.add(len(line))
        yield line


def _read_parquet(stream: BinaryIO, limits: RecordLimits) -> Numbered:
    for number, row in enumerate(parquet_rows(stream, limits), start=1):
        # Times and the like become text, as they would be in JSON; an empty cell is no cell.
        record = json.loads(json.dumps(row, default=str))
        yield number, {name: value for name, value in record.items() if value is not None}
