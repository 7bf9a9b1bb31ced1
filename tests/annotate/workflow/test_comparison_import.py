"""Comparisons judged elsewhere: streamed, all or nothing, the same file twice is the same as once."""

import csv
import gzip
import io
import json
from collections.abc import Iterable
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from django.contrib.auth import authenticate
from django.core.exceptions import ValidationError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from annotate.models import AssignmentState, Comparison, Judgment, Project, Response, Role, User
from annotate.workflow.agreement import agreement_of
from annotate.workflow.comparison_import import ComparisonImport, import_comparisons
from annotate.workflow.exceptions import UploadRejected
from annotate.workflow.export import export_lines
from annotate.workflow.snapshots import freeze
from tests.factories import judge, make_comparisons

pytestmark = pytest.mark.django_db


def _record(key: str = "c1", votes: str = "w1:a w2:tie", **fields: Any) -> dict[str, Any]:
    annotations = [dict(zip(("annotator", "choice"), vote.split(":"), strict=True)) for vote in votes.split()]
    texts = {"prompt": "Why?", "response_a": f"Because. {key}", "response_b": f"So. {key}"}
    return {"id": key, **texts, "annotations": annotations, **fields}


def _jsonl(records: Iterable[Any]) -> bytes:
    return "".join(json.dumps(record) + "\n" for record in records).encode()


def _import(project: Project, content: bytes, name: str = "pairs.jsonl") -> ComparisonImport:
    return import_comparisons(project=project, stream=io.BytesIO(content), name=name)


def _rejected(project: Project, content: bytes, name: str = "pairs.jsonl") -> list[tuple[int, str]]:
    before = (Comparison.objects.count(), Judgment.objects.count(), User.objects.count())
    with pytest.raises(UploadRejected) as rejected:
        _import(project, content, name)
    assert (Comparison.objects.count(), Judgment.objects.count(), User.objects.count()) == before
    return [(error.line, error.field) for error in rejected.value.errors]


def _consistent(project: Project) -> bool:
    """What the queue and the pages rely on."""
    for row in project.comparisons.all():
        held = row.assignments.filter(slot__isnull=False).values_list("slot", flat=True)
        judged = row.judgments.counted().count()
        if not (row.judged == judged and row.taken == len(held) <= row.overlap and max(held, default=0) < row.overlap):
            return False
    return True


def test_a_record_becomes_rows_like_those_made_here(project: Project) -> None:
    brought = _import(project, _jsonl([_record(votes="w1:a w2:tie w3:a")]))
    assert brought == ComparisonImport(comparisons=1, judgments=3, annotators=3, prompts=1, unchanged=0, identical=0)
    row = project.comparisons.get()
    assert (row.key, row.overlap, row.taken, row.judged, row.batch.name) == ("c1", 3, 3, 3, "pairs.jsonl")
    assert (row.prompt.last_turn, row.response_a.text, row.response_b.text) == ("Why?", "Because. c1", "So. c1")
    judgments = row.judgments.order_by("id")
    assert [(j.annotator.shown_name, j.choice) for j in judgments] == [("w1", "a"), ("w2", "tie"), ("w3", "a")]
    assert {(j.guideline_version, j.flipped, j.is_current, j.assignment.state) for j in judgments} == {
        (None, None, True, AssignmentState.JUDGED)
    }
    assert _consistent(project)


def test_annotators_are_members_and_can_never_sign_in(project: Project) -> None:
    login = User.objects.create_user("w1", password="secret")
    _import(project, _jsonl([_record(votes="w1:a")]))
    imported = project.memberships.get(role=Role.ANNOTATOR).user
    assert imported != login and not imported.is_active and not imported.has_usable_password()
    assert authenticate(username=imported.username, password="") is None
    with pytest.raises(ValidationError):
        User._meta.get_field("username").run_validators(imported.username)


def test_a_name_too_long_for_an_account_is_still_one_person(project: Project) -> None:
    votes = [{"annotator": "x" * 149 + end, "choice": "a"} for end in "ab"]
    assert _import(project, _jsonl([_record(annotations=votes)])).annotators == 2
    assert _import(project, _jsonl([_record("c2", annotations=votes)])).annotators == 0


def test_the_same_file_twice_changes_nothing(project: Project) -> None:
    content = _jsonl([_record("c1"), _record("c2", votes="w1:b")])
    _import(project, content)
    again = _import(project, content, "renamed.jsonl")
    assert again == ComparisonImport(comparisons=0, judgments=0, annotators=0, prompts=0, unchanged=2, identical=0)
    assert (project.batches.count(), Judgment.objects.count()) == (1, 3)


def test_new_annotations_of_a_known_comparison_are_added(project: Project) -> None:
    _import(project, _jsonl([_record(votes="w1:a w2:tie")]))
    brought = _import(project, _jsonl([_record(votes="w2:tie w3:b")]))
    assert (brought.comparisons, brought.judgments, brought.annotators, brought.unchanged) == (0, 1, 1, 0)
    assert project.comparisons.get().judged == 3 and _consistent(project)


def test_a_comparison_with_room_is_judged_on_here(project: Project, ann: User) -> None:
    _import(project, _jsonl([_record(votes="w1:a")]))
    assert judge(project, ann, "b").comparison.key == "c1"
    brought = _import(project, _jsonl([_record(votes="w1:a w2:a w3:a")]))
    row = project.comparisons.get()
    assert (brought.judgments, row.judged, row.overlap) == (2, 4, 4) and _consistent(project)


def test_other_texts_under_a_known_id_are_an_error(project: Project) -> None:
    _import(project, _jsonl([_record()]))
    other = [_record("new"), _record(response_a="Changed."), _record(prompt="Changed?")]
    assert _rejected(project, _jsonl(other)) == [(2, "id"), (3, "id")]


def test_another_answer_than_before_is_an_error(project: Project) -> None:
    _import(project, _jsonl([_record(votes="w1:a")]))
    assert _rejected(project, _jsonl([_record(votes="w1:b")])) == [(1, "annotations")]


@pytest.mark.parametrize("between", [0, 1])
def test_two_annotations_by_one_annotator_are_an_error_however_far_apart(project: Project, between: int) -> None:
    records = [_record(votes="w1:a"), *[_record(f"x{n}") for n in range(between)], _record(votes="w1:a")]
    assert _rejected(project, _jsonl(records)) == [(2 + between, "annotations")]
    assert _rejected(project, _jsonl([_record(votes="w1:a w1:a")])) == [(1, "annotations")]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"id": ""}, "id"), ({"id": None}, "id"), ({"prompt": ""}, "prompt"), ({"prompt": 3}, "prompt"),
        ({"prompt": [{"role": "assistant", "content": "x"}]}, "prompt"), ({"response_a": None}, "response_a"),
        ({"response_b": ["x"]}, "response_b"), ({"annotations": "x"}, "annotations"),
        ({"annotations": [3]}, "annotations"),
        ({"annotations": [{"annotator": "w", "choice": "c"}]}, "choice"),
        ({"annotations": [{"annotator": "w", "choice": ["a"]}]}, "choice"),
        ({"annotations": [{"annotator": " ", "choice": "a"}]}, "annotator"),
        ({"annotations": [{"annotator": True, "choice": "a"}]}, "annotator"),
        ({"annotations": [{"annotator": "w", "choice": "a", "seconds": -1}]}, "seconds"),
        ({"annotations": [{"annotator": "w", "choice": "a", "submitted_at": "2026-13-01"}]}, "submitted_at"),
        ({"annotations": [{"annotator": "w", "choice": "a", "submitted_at": "noon"}]}, "submitted_at"),
        ({"annotations": [{"annotator": "w", "choice": "a", "note": 1}]}, "note"),
        ({"source": "\x00"}, ""), ({"weight": float("nan")}, ""), ({"source": "\ud800"}, ""), ({"tags": "a"}, None),
    ],
)  # fmt: skip
def test_a_bad_field_is_named_with_its_line(project: Project, change: dict[str, Any], field: str | None) -> None:
    content = _jsonl([_record("good"), _record(**change)])
    if field is None:
        assert _import(project, content).comparisons == 2
    else:
        assert _rejected(project, content) == [(2, field)]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("p.jsonl", b""), ("p.jsonl", b"nonsense\n"), ("p.jsonl", b"[" * 100_000), ("p.jsonl", b'{"id": "\xff"}\n'),
        ("p.jsonl.gz", b"not gzip"), ("p.jsonl.gz", gzip.compress(_jsonl([_record()]))[:-9]),
        ("p.parquet", b"not parquet"),
        ("p.csv", b"id,prompt\n1,x\n"), ("p.csv", b'id,prompt,response_a,response_b\n1,"x\n'),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_read_to_its_end_is_refused(project: Project, name: str, content: bytes) -> None:
    assert _rejected(project, content, name)


def test_what_is_not_known_is_kept_as_metadata(project: Project) -> None:
    said = {"annotator": 7, "choice": "a", "reason": "clear", "seconds": 4, "submitted_at": "2016-02-14T19:22:33Z"}
    record = _record(annotations=[said], source="WMT", score=0.5, model_a="big", tags=["x"], language="zh")
    _import(project, _jsonl([record]))
    row, judgment = project.comparisons.get(), Judgment.objects.get()
    assert row.metadata == {"source": "WMT", "score": 0.5, "model_a": "big"}
    assert (row.response_a.source, row.response_b.source) == ("big", "import")
    assert (row.prompt.tags, row.prompt.language) == (["x"], "zh")
    assert (judgment.metadata, judgment.seconds) == ({"reason": "clear"}, 4)
    assert judgment.created_at.isoformat() == "2016-02-14T19:22:33+00:00"
    assert judgment.annotator.shown_name == "7"


def test_a_prompt_and_a_response_of_several_comparisons_are_one_row_each(project: Project) -> None:
    chat = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Why?"}]
    records = [_record(key, prompt=chat, response_a="Because.") for key in ("c1", "c2", "c3")]
    brought = _import(project, _jsonl(records))
    assert (brought.prompts, project.prompts.get().messages) == (1, chat)
    assert Response.objects.filter(text="Because.").count() == 1


def test_equal_responses_are_kept_for_agreement_counted_and_left_out_of_snapshots(project: Project) -> None:
    same = _record("same", votes="w1:a w2:a", response_a="x", response_b="x")
    assert _import(project, _jsonl([same, _record(votes="w1:b w2:b")])).identical == 1
    assert agreement_of(project=project, bootstrap=10).suite.n_items == 2
    snapshot, _created = freeze(project=project)
    assert (snapshot.counts["pairs"], snapshot.counts["identical"]) == (1, 1)


def test_a_snapshot_and_an_export_work_like_those_of_a_project_judged_here(project: Project, ann: User) -> None:
    make_comparisons(project, 1)
    judge(project, ann, "a")
    _import(project, _jsonl([_record(votes="w1:b w2:b w3:a")]))
    snapshot, _created = freeze(project=project, test_share=0)
    lines = [json.loads(line) for line in export_lines(snapshot=snapshot)]
    assert (snapshot.counts["pairs"], snapshot.guideline_versions) == (2, [1])
    chosen = {line["prompt"][0]["content"]: line["chosen"][0]["content"] for line in lines}
    assert chosen["Why?"] == "So. c1"


ROWS = [
    ("c1", "One, or\ntwo?", "A", "B", "w1", "a"),
    ("c1", "One, or\ntwo?", "A", "B", "w2", "b"),
    ("c2", '[{"role": "user", "content": "Chat?"}]', "C", "D", "w1", "tie"),
    ("c3", "[not a chat]", "E", "F", "", ""),
    ("c1", "One, or\ntwo?", "A", "B", "w3", "b"),
]
COLUMNS = ("id", "prompt", "response_a", "response_b", "annotator", "choice")


def _csv(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows([header, *rows])
    return b"\xef\xbb\xbf" + text.getvalue().encode()


def _parquet(rows: list[dict[str, Any]]) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), sink)
    return sink.getvalue()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("p.csv", _csv(COLUMNS, ROWS)),
        ("p.CSV.GZ", gzip.compress(_csv(COLUMNS, ROWS))),
        ("p.parquet", _parquet([dict(zip(COLUMNS, (cell or None for cell in row), strict=True)) for row in ROWS])),
    ],
)
def test_one_judgment_a_row_is_put_together_by_id(project: Project, name: str, content: bytes) -> None:
    brought = _import(project, content, name)
    assert (brought.comparisons, brought.judgments, brought.annotators) == (3, 4, 3)
    assert project.comparisons.get(key="c1").judged == 3
    assert project.comparisons.get(key="c2").prompt.messages == [{"role": "user", "content": "Chat?"}]
    assert project.comparisons.get(key="c3").prompt.last_turn == "[not a chat]"
    assert _consistent(project)


def test_csv_and_parquet_also_take_a_list_of_annotations(project: Project) -> None:
    votes = '[{"annotator": "w1", "choice": "a"}]'
    _import(project, _csv((*COLUMNS[:4], "annotations", "tags"), [("c1", "P", "A", "B", votes, "x; y")]), "p.csv")
    assert project.comparisons.get().prompt.tags == ["x", "y"]
    assert _import(project, _parquet([_record("c2")]), "p.parquet").judgments == 2


def test_a_bad_row_of_a_csv_file_is_named_with_its_line(project: Project) -> None:
    assert _rejected(project, _csv(COLUMNS, [*ROWS[:2], ("c4", "P", "A", "B", "w1", "maybe")]), "p.csv") == [
        (6, "choice")
    ]


def test_files_that_need_many_batches_come_out_the_same(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("annotate.workflow.comparison_import.RECORDS_AT_ONCE", 2)
    rows = [(f"c{n}", f"P{n % 3}", "A", f"B{n}", f"w{m}", "a") for m in range(3) for n in range(5)]
    brought = _import(project, _csv(COLUMNS, rows), "p.csv")
    assert (brought.comparisons, brought.judgments, brought.annotators, brought.prompts) == (5, 15, 3, 3)
    assert _consistent(project)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.sampled_from(["w1", "w2", "w3"]), st.sampled_from(["a", "tie", "b"])),
        min_size=1, max_size=9, unique_by=lambda row: row[:2],
    ),
    st.integers(0, 9),
)  # fmt: skip
def test_a_file_in_two_parts_in_any_order_is_the_file(
    project: Project, rows: list[tuple[str, str, str]], cut: int
) -> None:
    for part in (rows[:cut], rows[cut:], rows):
        if part:
            _import(project, _jsonl([_record(key, votes=f"{who}:{choice}") for key, who, choice in part]))
    stored = Judgment.objects.values_list("comparison__key", "annotator__first_name", "choice")
    assert sorted(stored) == sorted(rows) and _consistent(project)
    project.comparisons.all().delete()
