"""What a file of comparisons may make of the memory: little, however much is packed into it."""

import csv
import gzip
import io
import json
import math
from datetime import datetime
from decimal import Decimal
from functools import partialmethod
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from annotate.models import Project
from annotate.workflow.comparison_files import read_records
from annotate.workflow.comparison_import import check_comparisons, import_comparisons
from annotate.workflow.comparison_parquet import parquet_rows
from annotate.workflow.exceptions import UploadRejected
from annotate.workflow.imported_batch import store_batch
from annotate.workflow.record_limits import RecordLimits

pytestmark = pytest.mark.django_db
HEADER = ("id", "prompt", "response_a", "response_b", "annotator", "choice", "note")
GOOD = dict(zip(HEADER, ("c1", "Why?", "A", "B", "w1", "a", ""), strict=True))


def _file(name: str, rows: list[dict[str, Any]]) -> bytes:
    """The rows in the format that the name tells."""
    if name.endswith(".gz"):
        return gzip.compress(_file(name.removesuffix(".gz"), rows))
    if name.endswith(".parquet"):
        sink = io.BytesIO()
        pq.write_table(pa.Table.from_pylist(rows), sink)
        return sink.getvalue()
    if name.endswith(".jsonl"):
        return "".join(json.dumps(row) + "\n" for row in rows).encode()
    text = io.StringIO()
    writer = csv.DictWriter(text, HEADER)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def _rejected(project: Project, content: bytes, name: str) -> list[tuple[int, str]]:
    with pytest.raises(UploadRejected) as rejected:
        import_comparisons(project=project, stream=io.BytesIO(content), name=name)
    assert not project.comparisons.exists()
    return [(error.line, error.message) for error in rejected.value.errors]


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A record may have 1,000 characters, and 10,000 may be stored at once."""
    monkeypatch.setattr(RecordLimits, "__init__", partialmethod(RecordLimits.__init__, longest=1000))
    monkeypatch.setattr("annotate.workflow.comparison_records.LONGEST_RECORD", 1000)
    monkeypatch.setattr("annotate.workflow.comparison_import.LENGTH_AT_ONCE", 10_000)


def _repeated(texts: list[str], rows: int) -> bytes:
    """A Parquet file of rows with the same texts, each of which stands in it once."""
    same = pa.array([0] * rows, pa.int32())
    votes = pa.StructArray.from_arrays(
        [pa.DictionaryArray.from_arrays(same, pa.array([text])) for text in ("w1", "a", texts[2])],
        ["annotator", "choice", "note"],
    )
    columns = {
        "id": pa.array([f"c{n}" for n in range(rows)]),
        "prompt": pa.array(["Why?"] * rows),
        **{
            name: pa.DictionaryArray.from_arrays(same, pa.array([text]))
            for name, text in zip(("response_a", "response_b"), texts, strict=False)
        },
        "annotations": pa.ListArray.from_arrays(list(range(rows + 1)), votes),
    }
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink, store_schema=False, compression="zstd")
    return sink.getvalue()


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("where", ["response_a", "note"])
@pytest.mark.parametrize("name", ["p.jsonl", "p.jsonl.gz", "p.csv", "p.csv.gz", "p.parquet"])
def test_a_record_too_long_to_hold_is_refused_at_its_line_with_the_limit(
    project: Project, name: str, where: str
) -> None:
    """In CSV it is a field that runs over a hundred lines of twelve characters."""
    long = {**GOOD, "id": "c2", where: "line of text\n" * 100}
    [(line, said)] = _rejected(project, _file(name, [GOOD, long, GOOD]), name)
    assert line == (3 if "csv" in name else 2) and "1,000 characters" in said


def test_rows_that_repeat_a_text_are_read_few_at_a_time_and_a_long_one_is_refused(small: None) -> None:
    content = _repeated(["a" * 100, "b" * 100, "c" * 100], 500)
    assert len(content) < 10_000
    limits = RecordLimits(math.inf)
    taken = []
    for row in parquet_rows(io.BytesIO(content), limits):
        taken.append(limits.length)
        assert row["annotations"] == [{"annotator": "w1", "choice": "a", "note": "c" * 100}]
    assert len(taken) == 500 and max(taken) <= 1000
    numbered = list(read_records(io.BytesIO(_repeated(["a" * 1000, "b", "c"], 3)), "p.parquet"))
    assert [number for number, _record in numbered] == [1]


def test_columns_of_every_kind_are_measured_and_read(small: None) -> None:
    """The kinds that `str` or JSON can say; the second row is alone in its part, since both are too long together."""
    rows = 2
    kinds = {
        "text": ["x" * 300, "y" * 300], "nothing": pa.nulls(rows), "number": [1, 2],
        "decimal": pa.array([Decimal("1.50"), None]), "time": pa.array([datetime(2026, 1, 2)] * rows),
        "large": pa.array(["é", "ê"], pa.large_string()), "list": [["a" * 300], ["b" * 300]], "empty": [[], None],
        "vector": pa.array([[1.0, 2.0]] * rows, pa.list_(pa.float32(), 2)),
        "map": pa.array([[("k", "v")], [("key", "value")]], pa.map_(pa.string(), pa.string())),
        "struct": [{"a": {"b": "c"}}, None], "coded": pa.array(["q", "q"]).dictionary_encode(),
    }  # fmt: skip
    sink = io.BytesIO()
    pq.write_table(pa.table(kinds), sink)
    [(_one, first), (number, second)] = read_records(sink, "p.parquet")
    assert number == 2 and set(first) == set(kinds) - {"nothing"}
    assert (first["decimal"], first["time"], first["struct"]) == ("1.50", "2026-01-02 00:00:00", {"a": {"b": "c"}})
    assert (second["map"], second["large"], second["list"]) == ([["key", "value"]], "ê", ["b" * 300])


def test_a_row_group_too_large_to_read_is_refused_before_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("annotate.workflow.comparison_parquet.LARGEST_GROUP", 2**20)
    sink, schema = io.BytesIO(), pa.schema([("id", pa.string())])
    with pq.ParquetWriter(sink, schema, compression="zstd") as writer:
        writer.write_table(pa.table({"id": ["c1"] * 10}, schema))
        writer.write_table(pa.table({"id": ["a" * 2**21]}, schema))
    [(number, problem)] = read_records(sink, "p.parquet")
    assert number == 11 and "more than 1 MB unpacked" in problem.message


@pytest.mark.parametrize("name", ["p.jsonl.gz", "p.parquet"])
def test_a_small_upload_may_not_unpack_to_a_large_file(
    project: Project, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr("annotate.workflow.comparison_import.LARGEST_UNPACKED", 20_000)
    content = _repeated(["a" * 100, "b" * 100, "c"], 500)
    if name == "p.jsonl.gz":
        content = _file(name, [{**GOOD, "id": f"c{n}", "response_a": "a" * 200} for n in range(500)])
    assert "20,000 characters unpacked" in _rejected(project, content, name)[-1][1]
    check_comparisons(stream=io.BytesIO(content), name=name)  # as the command does, which an operator runs


@pytest.mark.usefixtures("small")
def test_long_records_are_stored_a_few_at_a_time_and_come_out_the_same(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = []
    monkeypatch.setattr(
        "annotate.workflow.comparison_import.store_batch",
        lambda target, records, faults: stored.append(len(records)) or store_batch(target, records, faults),
    )
    rows = [
        {**GOOD, "id": f"c{n // 8}", "annotator": f"w{n % 8}", "source": "x" * 600, "note": "y" * 100}
        for n in range(240)
    ]
    brought = import_comparisons(project=project, stream=io.BytesIO(_file("p.jsonl", rows)), name="p.jsonl")
    assert (brought.comparisons, brought.judgments) == (30, 240) and len(stored) > 10
