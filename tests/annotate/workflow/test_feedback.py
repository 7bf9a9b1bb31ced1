"""Uploads of single votes: all or nothing, split by prompt, the same content the same set, and as TRL reads them."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from annotate.models import FeedbackSet, Project, User
from annotate.workflow.exceptions import NameTaken, UploadRejected, WorkflowError
from annotate.workflow.feedback import import_feedback
from annotate.workflow.feedback_balance import Balance, balance_of

pytestmark = pytest.mark.django_db
CHAT = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Why?"}]
SAID = [{"role": "assistant", "content": "Because."}]


def _jsonl(*records: object) -> list[str]:
    return [json.dumps(record) + "\n" for record in records]


def _many(n: int, answers: int = 1) -> list[str]:
    rows = [
        {"prompt": f"Question {i}?", "completion": f"Answer {i}, {j}.", "label": (i + j) % 3 > 0}
        for i in range(n)
        for j in range(answers)
    ]
    return _jsonl(*rows)


def _upload(project: Project, lines: list[str], name: str = "Thumbs", **more: object) -> tuple[FeedbackSet, bool]:
    return import_feedback(project=project, name=name, lines=lines, **more)


def _rows(stored: FeedbackSet, split: str) -> list[dict]:
    return pq.read_table(Path(stored.folder) / f"{split}.parquet").to_pylist()


def _refused(project: Project, lines: list[str], **more: object) -> list[tuple[int, str, str]]:
    with pytest.raises(UploadRejected) as caught:
        _upload(project, lines, **more)
    assert not FeedbackSet.objects.exists()
    return [(error.line, error.field, error.message) for error in caught.value.errors]


def test_what_trl_reads_can_be_uploaded_as_it_is_and_is_kept_so(project: Project, lead: User) -> None:
    lines = _jsonl(
        {"id": "a", "prompt": CHAT, "completion": SAID, "label": True},
        {"id": "b", "prompt": "How?", "completion": "So.\n", "label": False},
    )
    stored, created = _upload(project, lines, test_share=0, actor=lead)
    counts = {"train": 2, "test": 0, "train_desirable": 1, "test_desirable": 0}
    assert (created, stored.counts, stored.created_by) == (True, counts, lead)
    assert (stored.desirable, stored.undesirable, stored.test_undesirable) == (1, 1, 0)
    assert _rows(stored, "train")[0] == {"id": "a", "prompt": CHAT, "completion": SAID, "label": True}
    vote = stored.votes.get(key="b")
    assert (vote.messages, vote.response, vote.desirable) == ([{"role": "user", "content": "How?"}], "So.\n", False)
    assert _rows(stored, "test") == []


def test_our_names_of_prompt_and_response_do_as_well(project: Project) -> None:
    stored, _ = _upload(project, _jsonl({"messages": CHAT, "response": "Because.", "label": 1}), test_share=0)
    assert _rows(stored, "train")[0]["completion"] == SAID


@pytest.mark.parametrize(
    ("label", "desirable"),
    [
        *((label, True) for label in (True, 1, "true", "True", "up", " UP ", "1")),
        *((label, False) for label in (False, 0, "false", "FALSE", "down", "0")),
    ],
)
def test_a_label_is_yes_or_no_in_several_ways(project: Project, label: object, desirable: bool) -> None:
    stored, _ = _upload(project, _jsonl({"prompt": "How?", "completion": "So.", "label": label}), test_share=0)
    assert stored.votes.get().desirable is desirable


TURNS = [{"from": "human", "value": "Why?"}, {"from": "gpt", "value": "So."}]


@pytest.mark.parametrize(
    "vote",
    [{"conversations": TURNS, "kto_tag": False}, {"instruction": "Why?", "output": "So.", "kto_tag": False}],
    ids=["sharegpt", "alpaca"],
)
def test_a_vote_of_llama_factory_is_taken_as_it_is(project: Project, vote: dict[str, object]) -> None:
    stored, _ = _upload(project, _jsonl(vote), test_share=0)
    row = stored.votes.get()
    assert (row.messages, row.response, row.desirable) == ([{"role": "user", "content": "Why?"}], "So.", False)


@pytest.mark.parametrize(
    ("vote", "field"),
    [
        ({"conversations": TURNS[:1], "kto_tag": True}, "conversations"),
        ({"conversations": TURNS, "completion": "So.", "kto_tag": True}, "completion"),
        ({"conversations": TURNS, "kto_tag": True, "label": False}, "label"),
        ({"conversations": TURNS}, "label"),
    ],
)
def test_a_vote_of_llama_factory_that_contradicts_itself_is_refused(
    project: Project, vote: dict[str, object], field: str
) -> None:
    assert [found[:2] for found in _refused(project, _jsonl(vote))] == [(1, field)]


@pytest.mark.parametrize("label", [None, "", "yes", 2, -1, 1.0, 0.5, [], [True], {"up": 1}])
def test_any_other_label_is_refused_by_name(project: Project, label: object) -> None:
    ((line, field, message),) = _refused(project, _jsonl({"prompt": "How?", "completion": "So.", "label": label}))
    assert (line, field) == (1, "label")
    assert message.endswith(f"not {json.dumps(label)}")


def test_a_csv_says_up_and_down(project: Project) -> None:
    lines = ["id,prompt,completion,label\r\n", ',"one,\r\n', 'two",three,up\r\n', "7,one,four,DOWN\r\n"]
    stored, _ = _upload(project, lines, format="csv", test_share=0)
    assert stored.votes.get(key="7").desirable is False
    assert stored.votes.exclude(key="7").get().messages == [{"role": "user", "content": "one,\r\ntwo"}]


def test_a_csv_needs_its_columns(project: Project) -> None:
    assert _refused(project, ["prompt,completion\n", "one,two\n"], format="csv")[0][:2] == (1, "label")
    assert _refused(project, ["prompt,label\n", "one,up\n"], format="csv")[0][:2] == (2, "completion")


def test_people_may_differ_on_a_response_and_agree_on_it(project: Project) -> None:
    vote = {"prompt": "How?", "completion": "So.", "label": True}
    lines = _jsonl({**vote, "id": "u1"}, {**vote, "id": "u2"}, {**vote, "label": False}, vote)
    stored, _ = _upload(project, lines, test_share=0)
    assert (stored.desirable, stored.undesirable) == (3, 1)


def test_the_same_vote_twice_without_ids_is_a_mistake(project: Project) -> None:
    vote = {"prompt": "How?", "completion": "So.", "label": True}
    named = {**vote, "completion": "Thus.", "id": "u1"}
    found = _refused(project, _jsonl(vote, {**vote, "label": "up"}, named, {**named, "label": False}))
    assert [(line, field) for line, field, _message in found] == [(2, "label"), (4, "id")]
    assert "the same vote as in line 1" in found[0][2] and "as in line 3" in found[1][2]


def test_the_split_goes_by_prompt_and_is_counted_by_label(project: Project) -> None:
    stored, _ = _upload(project, _many(60, answers=2), test_share=0.3)
    train, test = _rows(stored, "train"), _rows(stored, "test")
    assert (len(train), len(test)) == (stored.counts["train"], stored.counts["test"])
    assert sum(row["label"] for row in train) == stored.desirable
    assert sum(not row["label"] for row in test) == stored.test_undesirable > 0
    assert len(train) + len(test) == 120 and 10 < len(test) < 70
    asked = [{row["prompt"][0]["content"] for row in rows} for rows in (train, test)]
    assert not asked[0] & asked[1]


def test_the_same_content_is_the_same_set_in_any_order_and_under_any_name(project: Project) -> None:
    first, _ = _upload(project, _many(9))
    again, created = _upload(project, list(reversed(_many(9))), name="Another name")
    assert (again, created) == (first, False)
    turned = [line.replace("true", "null").replace("false", "true").replace("null", "false") for line in _many(9)]
    other, created = _upload(project, turned, name="Turned")
    assert created and other.content_hash != first.content_hash


def test_a_name_is_given_once(project: Project) -> None:
    _upload(project, _many(9))
    with pytest.raises(NameTaken):
        _upload(project, _many(8))
    with pytest.raises(WorkflowError, match="needs a name"):
        _upload(project, _many(8), name=" ")
    assert FeedbackSet.objects.count() == 1


def test_one_bad_line_and_nothing_is_stored(project: Project) -> None:
    good = {"prompt": "Good", "completion": "Yes", "label": True}
    lines = [
        *_jsonl(good),
        "{broken\n",
        *_jsonl(
            {**good, "completion": "  "},
            {**good, "completion": [{"role": "user", "content": "No"}]},
            {**good, "completion": [*SAID, *SAID]},
            {**good, "response": "Yes"},
            {"prompt": "Good", "response": 3, "label": True},
            {**good, "prompt": SAID},
            {**good, "completion": "a\u0000b"},
        ),
    ]
    found = [(line, field) for line, field, _message in _refused(project, lines)]
    assert found == [
        (2, ""), (3, "completion"), (4, "completion"), (5, "completion"), (6, "response"), (7, "response"),
        (8, "prompt"), (9, ""),
    ]  # fmt: skip
    assert "no vote" in _refused(project, ["\n"])[0][2]


@pytest.mark.parametrize(
    ("ups", "downs", "expected"),
    [
        (30, 10, Balance("undesirable_weight", 2.25, 3.0)),
        (10, 30, Balance("desirable_weight", 3.0, 4.0)),
        (10, 10, Balance()),
        (12, 10, Balance()),
        (10, 0, None),
        (0, 10, None),
    ],
)
def test_weights_that_balance_bring_the_kinds_to_one_to_one_or_four_to_three(
    ups: int, downs: int, expected: Balance | None
) -> None:
    found = balance_of(FeedbackSet(counts={"train": ups + downs, "train_desirable": ups}))
    assert found == expected
    if found and found.setting:
        weights = [
            {"desirable_weight": 1.0, "undesirable_weight": 1.0} | {found.setting: w} for w in (found.low, found.high)
        ]
        shares = [w["desirable_weight"] * ups / (w["undesirable_weight"] * downs) for w in weights]
        assert sorted(shares) == pytest.approx([1, 4 / 3])
