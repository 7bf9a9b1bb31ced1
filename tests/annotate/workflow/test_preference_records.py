"""TRL's preferences as judged comparisons: any of their forms, blind letters, and the same file twice as once."""

import io
import json
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from django.test import Client
from rest_framework.test import APIClient

from annotate.models import Comparison, Judgment, Project, User
from annotate.workflow.comparison_import import ComparisonImport, import_comparisons
from annotate.workflow.exceptions import UploadRejected
from annotate.workflow.export import export_lines
from annotate.workflow.snapshots import freeze

pytestmark = pytest.mark.django_db
SYSTEM = {"role": "system", "content": "Be brief."}
ASKED = {"role": "user", "content": "Why?"}
GOOD = {"role": "assistant", "content": "Because."}
BAD = {"role": "assistant", "content": "No."}
HUMAN = {"from": "human", "value": "Why?"}
SAID = {"chosen": "Because.", "rejected": "No."}
PLAIN = {"prompt": "Why?", "chosen": "Because.", "rejected": "No."}


def _gpt(said: str) -> dict[str, str]:
    return {"from": "gpt", "value": said}


@pytest.fixture
def other(db: None) -> Project:
    return Project.objects.create(name="Other", slug="other")


def _jsonl(*records: object) -> bytes:
    return "".join(json.dumps(record) + "\n" for record in records).encode()


def _import(project: Project, content: bytes, name: str = "pairs.jsonl", **given: str) -> ComparisonImport:
    return import_comparisons(project=project, stream=io.BytesIO(content), name=name, **given)


def _rejected(project: Project, content: bytes) -> list[tuple[int, str]]:
    with pytest.raises(UploadRejected) as caught:
        _import(project, content)
    assert not project.comparisons.exists()
    return [(error.line, error.field) for error in caught.value.errors]


def _won(row: Comparison) -> str:
    """The text that its one judgment prefers."""
    chosen = row.judgments.get().choice
    return {"a": row.response_a.text, "b": row.response_b.text, "tie": "tie"}[chosen]


@pytest.mark.parametrize(
    ("record", "prompt"),
    [
        (PLAIN, [ASKED]),
        ({"prompt": [SYSTEM, ASKED], "chosen": [GOOD], "rejected": [BAD]}, [SYSTEM, ASKED]),
        ({"prompt": [ASKED], "chosen": "Because.", "rejected": "No."}, [ASKED]),
        ({"chosen": [SYSTEM, ASKED, GOOD], "rejected": [SYSTEM, ASKED, BAD]}, [SYSTEM, ASKED]),
        ({"chosen": [ASKED, BAD, ASKED, GOOD], "rejected": [ASKED, BAD, ASKED, BAD]}, [ASKED, BAD, ASKED]),
        ({"prompt": "Why?", "chosen": [ASKED, GOOD], "rejected": [ASKED, BAD], "messages": [ASKED, GOOD]}, [ASKED]),
        ({"conversations": [HUMAN], "chosen": _gpt("Because."), "rejected": _gpt("No.")}, [ASKED]),
        (
            {"conversations": [HUMAN], "system": "Be brief.", "chosen": _gpt("Because."), "rejected": _gpt("No.")},
            [SYSTEM, ASKED],
        ),
        ({"instruction": "Why?", "input": "", "chosen": "Because.", "rejected": "No."}, [ASKED]),
        (
            {"instruction": "Why?", "history": [["Why?", "No."]], "chosen": "Because.", "rejected": "No."},
            [ASKED, BAD, ASKED],
        ),
        ({side: f"\n\nHuman: Why?\n\nAssistant: {said}" for side, said in SAID.items()}, [ASKED]),
        (
            {
                side: f"\n\nHuman: Why?\n\nAssistant: No.\n\nHuman: Why?\n\nAssistant: {said}"
                for side, said in SAID.items()
            },
            [ASKED, BAD, ASKED],
        ),
        ({"prompt": "\n\nHuman: Why?\n\nAssistant:", "chosen": " Because.", "rejected": " No."}, [ASKED]),
        (
            {
                "prompt": "\n\nHuman: Why?\n\nAssistant: No.\n\nHuman: Why?",
                **{
                    side: f"\n\nHuman: Why?\n\nAssistant: No.\n\nHuman: Why?\n\nAssistant: {said}"
                    for side, said in SAID.items()
                },
            },
            [ASKED, BAD, ASKED],
        ),
    ],
)
def test_each_form_is_a_comparison_that_one_annotator_judged(
    project: Project, record: dict[str, Any], prompt: list[dict[str, str]]
) -> None:
    brought = _import(project, _jsonl(record))
    assert (brought.comparisons, brought.judgments, brought.annotators) == (1, 1, 1)
    row = project.comparisons.get()
    assert (row.prompt.messages, _won(row)) == (prompt, "Because.")
    assert {row.response_a.text, row.response_b.text} == {"Because.", "No."}
    assert row.judgments.get().annotator.shown_name == "imported"


def test_the_letters_do_not_tell_who_won(project: Project) -> None:
    records = [{"prompt": f"{n}?", "chosen": f"Aye {n}.", "rejected": f"Nay {n}."} for n in range(200)]
    _import(project, _jsonl(*records))
    wins = Judgment.objects.filter(choice="a").count()
    assert 70 < wins < 130
    for row in project.comparisons.all():
        assert _won(row).startswith("Aye")


def test_the_winner_changes_neither_the_letters_nor_the_name_of_a_pair(project: Project, other: Project) -> None:
    _import(project, _jsonl(PLAIN))
    _import(other, _jsonl({"prompt": "Why?", "chosen": "No.", "rejected": "Because."}))
    rows = [(row.key, row.response_a.text, row.response_b.text) for row in Comparison.objects.all()]
    assert len(rows) == 2 and len(set(rows)) == 1


def test_the_same_file_twice_changes_nothing(project: Project) -> None:
    content = _jsonl(PLAIN, {**PLAIN, "prompt": "How?"})
    _import(project, content)
    again = _import(project, content, "renamed.jsonl")
    assert (again.comparisons, again.judgments, again.unchanged) == (0, 0, 2)


def test_scores_and_margin_go_with_the_judgment_and_a_degree_is_read(project: Project) -> None:
    more = {"score_chosen": 8.5, "score_rejected": 3.0, "margin": 5.5, "degree": 2, "tags": ["tea"], "id": 7}
    _import(project, _jsonl({**PLAIN, **more}), annotator="gpt-4")
    row = project.comparisons.get()
    judgment = row.judgments.get()
    assert (row.key, row.metadata, row.prompt.tags) == ("7", {}, ["tea"])
    assert judgment.metadata == {"score_chosen": 8.5, "score_rejected": 3.0, "margin": 5.5}
    assert (judgment.degree, judgment.annotator.shown_name) == (2, "gpt-4")


@pytest.mark.parametrize("named", ["{}_model", "{}-model"])
def test_models_go_with_the_responses_whichever_is_a(project: Project, named: str) -> None:
    models = {named.format("chosen"): "big", named.format("rejected"): "small"}
    _import(project, _jsonl(*[{"prompt": f"{n}?", **SAID, **models} for n in range(20)]))
    rows = project.comparisons.all()
    assert {_won(row) for row in rows} == {"Because."}
    sources = {(each.text, each.source) for row in rows for each in (row.response_a, row.response_b)}
    assert sources == {("Because.", "big"), ("No.", "small")}
    assert Judgment.objects.filter(metadata={}).count() == 20


@pytest.mark.parametrize(
    ("record", "field"),
    [
        ({**PLAIN, "rejected": "Because."}, "rejected"),
        ({"chosen": [ASKED, GOOD], "rejected": [ASKED, GOOD]}, "rejected"),
        ({"chosen": "Because.", "rejected": "No."}, "prompt"),
        ({"chosen": [ASKED, GOOD], "rejected": [{**ASKED, "content": "How?"}, BAD]}, "prompt"),
        ({"chosen": [ASKED, GOOD, ASKED, GOOD], "rejected": [ASKED, BAD]}, "chosen"),
        ({"prompt": "Why?", "chosen": "Because."}, "rejected"),
        ({**PLAIN, "chosen": [GOOD, GOOD]}, "chosen"),
        ({**PLAIN, "choice": "b"}, "choice"),
        ({**PLAIN, "annotations": []}, "annotations"),
        ({**PLAIN, "messages": [{**ASKED, "content": "How?"}]}, "messages"),
        ({**PLAIN, "prompt": [ASKED, GOOD]}, "prompt"),
        ({**PLAIN, "chosen": "half \ud800"}, ""),
        ({**PLAIN, "conversations": [HUMAN]}, "prompt"),
        ({"conversations": [HUMAN], "chosen": {"from": "tool", "value": "x"}, "rejected": _gpt("No.")}, "chosen"),
        ({"conversations": [HUMAN], "chosen": _gpt(""), "rejected": _gpt("No.")}, "chosen"),
        ({"conversations": [], **SAID}, "conversations"),
        ({**PLAIN, "model_a": "big"}, "model_a"),
        ({**PLAIN, "model_b": "small"}, "model_b"),
        ({**PLAIN, "chosen_model": "big", "chosen-model": "big"}, "chosen-model"),
        ({"prompt": "\n\nHuman: Why?\n\nAssistant: So.", **SAID}, "prompt"),
        ({"instruction": "Why?", "output": "x", **SAID}, "output"),
        ({"chosen": "\n\nHuman: Why?\n\nAssistant: So.", "rejected": "\n\nHuman: Why?\n\nAssistant:"}, "rejected"),
    ],
)
def test_what_is_wrong_is_named_by_line(project: Project, record: dict[str, Any], field: str) -> None:
    assert _rejected(project, _jsonl({**PLAIN, "prompt": "First?"}, record)) == [(2, field)]


def test_the_same_pair_twice_is_two_answers_of_one_annotator(project: Project) -> None:
    turned = {"prompt": "Why?", "chosen": "No.", "rejected": "Because."}
    for again in (PLAIN, turned):
        assert _rejected(project, _jsonl(PLAIN, again)) == [(2, "annotations")]


def test_beside_responses_a_and_b_chosen_is_metadata_as_before(project: Project) -> None:
    record = {"id": "c", "prompt": "Why?", "response_a": "A", "response_b": "B", "chosen": "x", "annotations": []}
    _import(project, _jsonl(record))
    assert project.comparisons.get().metadata == {"chosen": "x"}


def test_csv_and_parquet_hold_them_too(project: Project, other: Project) -> None:
    _import(project, b"prompt,chosen,rejected\nWhy?,Because.,No.\n", "pairs.csv")
    assert _won(project.comparisons.get()) == "Because."
    table = io.BytesIO()
    rows = [{"chosen": [ASKED, GOOD], "rejected": [ASKED, BAD], "score_chosen": 2.0}]
    pq.write_table(pa.Table.from_pylist(rows), table)
    _import(other, table.getvalue(), "pairs.parquet")
    assert _won(other.comparisons.get()) == "Because."


def test_an_export_of_ours_comes_back_in_another_project(project: Project, other: Project, lead: User) -> None:
    _import(project, _jsonl(*[{**PLAIN, "prompt": f"{n}?"} for n in range(6)]))
    snapshot, _created = freeze(project=project, actor=lead, test_share=0)
    brought = _import(other, "".join(export_lines(snapshot=snapshot)).encode(), "snapshot.jsonl")
    assert brought.comparisons == 6
    assert {_won(row) for row in other.comparisons.all()} == {"Because."}


def test_a_tie_of_a_snapshot_stays_a_tie(project: Project) -> None:
    _import(project, _jsonl({**PLAIN, "soft_label": 0.5}))
    assert _won(project.comparisons.get()) == "tie"


def test_page_and_api_name_the_annotator(project: Project, other: Project, lead: User, client: Client) -> None:
    client.force_login(lead)
    file = io.BytesIO(_jsonl(PLAIN))
    file.name = "pairs.jsonl"
    url = f"/p/{project.slug}/comparisons/upload/"
    assert client.post(url, {"file": file, "annotator": "crowd"}).status_code == 302
    api = APIClient()
    api.force_authenticate(lead)
    content = _jsonl({**PLAIN, "prompt": "How?"}).decode()
    answer = api.post(f"/api/v1/projects/{project.slug}/comparisons/", {"content": content}, format="json")
    assert answer.status_code == 201, answer.content
    names = {judgment.annotator.shown_name for judgment in Judgment.objects.all()}
    assert names == {"crowd", "imported"}
