"""Imports with degrees: checked like every other field, and never changed by a later file."""

import csv
import io

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from annotate.models import Judgment, Project
from tests.annotate.workflow.test_comparison_import import _import, _jsonl, _record, _rejected

pytestmark = pytest.mark.django_db


def _graded(degree: object, choice: str = "a") -> bytes:
    return _jsonl([_record(votes="", annotations=[{"annotator": "w1", "choice": choice, "degree": degree}])])


def _stored() -> list[tuple[str, int | None]]:
    return list(Judgment.objects.order_by("annotator__first_name").values_list("choice", "degree"))


@pytest.mark.parametrize(("degree", "stored"), [(1, 1), ("2", 2), (3.0, 3), (None, None)])
def test_a_degree_is_stored_whatever_the_project_asks(project: Project, degree: object, stored: int | None) -> None:
    _import(project, _graded(degree))
    assert _stored() == [("a", stored)]
    assert Judgment.objects.get().metadata == {}


@pytest.mark.parametrize("degree", [0, 4, 1.5, "much", True, [1]])
def test_what_is_no_degree_is_named_with_its_field(project: Project, degree: object) -> None:
    assert _rejected(project, _graded(degree)) == [(1, "degree")]


def test_a_tie_has_none(project: Project) -> None:
    assert _rejected(project, _graded(1, "tie")) == [(1, "degree")]


def test_a_csv_row_and_a_parquet_column_bring_it(project: Project) -> None:
    rows = [
        {"id": "c1", "prompt": "Why?", "response_a": "So.", "response_b": "Ah.", "annotator": name, "choice": choice}
        for name, choice in (("w1", "a"), ("w2", "tie"), ("w3", "b"))
    ]
    text = io.StringIO()
    writer = csv.DictWriter(text, [*rows[0], "degree"])
    writer.writeheader()
    writer.writerows({**row, "degree": degree} for row, degree in zip(rows, ("3", "", "1"), strict=True))
    _import(project, text.getvalue().encode(), "votes.csv")
    assert _stored() == [("a", 3), ("tie", None), ("b", 1)]
    parquet = io.BytesIO()
    pq.write_table(pa.table({**pa.Table.from_pylist(rows).to_pydict(), "degree": [3.0, None, 1.0]}), parquet)
    assert _import(project, parquet.getvalue(), "votes.parquet").unchanged == 1


@pytest.mark.parametrize("again", [None, 3])
def test_another_degree_than_in_an_earlier_import_is_refused(project: Project, again: object) -> None:
    _import(project, _graded(2))
    assert _rejected(project, _graded(again)) == [(1, "degree")]
    assert _import(project, _graded(2)).unchanged == 1
