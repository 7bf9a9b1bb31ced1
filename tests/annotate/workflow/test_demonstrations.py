"""Uploads of demonstrations: all or nothing, split by prompt, the same content the same set."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from annotate.models import DemonstrationSet, Project, User
from annotate.workflow.demonstrations import import_demonstrations
from annotate.workflow.exceptions import NameTaken, UploadRejected, WorkflowError

pytestmark = pytest.mark.django_db
CHAT = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Why?"}]


def _jsonl(*records: object) -> list[str]:
    return [json.dumps(record) + "\n" for record in records]


def _many(n: int, answers: int = 1) -> list[str]:
    rows = [{"prompt": f"Question {i}?", "response": f"Answer {i}, {j}."} for i in range(n) for j in range(answers)]
    return _jsonl(*rows)


def _upload(
    project: Project, lines: list[str], name: str = "Good ones", **more: object
) -> tuple[DemonstrationSet, bool]:
    return import_demonstrations(project=project, name=name, lines=lines, **more)[:2]


def _rows(stored: DemonstrationSet, split: str) -> list[dict]:
    return pq.read_table(Path(stored.folder) / f"{split}.parquet").to_pylist()


def test_prompts_come_as_text_or_as_chat(project: Project, lead: User) -> None:
    lines = _jsonl({"prompt": "How?", "response": "So."}, {"id": "x", "messages": CHAT, "response": "Because.\n"})
    stored, created = _upload(project, lines, test_share=0, actor=lead)
    assert (created, stored.counts, stored.created_by) == (True, {"train": 2, "test": 0}, lead)
    assert stored.demonstrations.get(key="x").messages == CHAT
    rows = {row["id"]: row for row in _rows(stored, "train")}
    assert rows["x"] == {"id": "x", "prompt": CHAT, "response": [{"role": "assistant", "content": "Because.\n"}]}
    assert _rows(stored, "test") == []


def test_a_csv_needs_both_columns(project: Project) -> None:
    stored, _ = _upload(project, ["prompt,response\r\n", '"one,\r\n', 'two",three\r\n'], format="csv", test_share=0)
    assert stored.demonstrations.get().messages == [{"role": "user", "content": "one,\r\ntwo"}]
    with pytest.raises(UploadRejected) as caught:
        _upload(project, ["prompt\n", "one\n"], format="csv")
    assert [(error.line, error.field) for error in caught.value.errors] == [(1, "response")]


def test_the_split_goes_by_prompt_and_both_files_hold_their_own(project: Project) -> None:
    stored, _ = _upload(project, _many(60, answers=2), test_share=0.3)
    train, test = _rows(stored, "train"), _rows(stored, "test")
    assert {"train": len(train), "test": len(test)} == stored.counts
    assert len(train) + len(test) == 120
    assert 10 < len(test) < 70
    asked = [{row["prompt"][0]["content"] for row in rows} for rows in (train, test)]
    assert not asked[0] & asked[1]
    assert stored.demonstrations.filter(split="test").count() == len(test)


def test_the_same_content_is_the_same_set_in_any_order_and_under_any_name(project: Project) -> None:
    first, _ = _upload(project, _many(9))
    again, created = _upload(project, list(reversed(_many(9))), name="Another name")
    assert (again, created) == (first, False)
    assert DemonstrationSet.objects.count() == 1


def test_another_split_is_another_set(project: Project) -> None:
    first, _ = _upload(project, _many(20))
    other, created = _upload(project, _many(20), name="Larger test", test_share=0.8)
    assert created
    assert other.content_hash != first.content_hash


def test_a_name_is_given_once(project: Project) -> None:
    _upload(project, _many(9))
    with pytest.raises(NameTaken):
        _upload(project, _many(8))
    assert DemonstrationSet.objects.count() == 1


@pytest.mark.parametrize("name", ["", "  ", "n" * 121])
def test_a_set_needs_a_name(project: Project, name: str) -> None:
    with pytest.raises(WorkflowError, match="needs a name"):
        _upload(project, _many(2), name=name)


def test_one_bad_line_and_nothing_is_stored(project: Project) -> None:
    lines = [
        *_jsonl({"prompt": "Good", "response": "Yes"}),
        "{broken\n",
        *_jsonl(
            {"prompt": "Silent", "response": "  "},
            {"prompt": "Numbered", "response": 3},
            {"messages": [{"role": "assistant", "content": "I begin"}], "response": "Yes"},
            {"prompt": "Good", "response": "Yes"},
            {"prompt": "Zero", "response": "a\u0000b"},
            {"id": "twice", "prompt": "One", "response": "1"},
            {"id": "twice", "prompt": "Two", "response": "2"},
        ),
    ]
    with pytest.raises(UploadRejected) as caught:
        _upload(project, lines)
    found = [(error.line, error.field) for error in caught.value.errors]
    assert found == [(2, ""), (3, "response"), (4, "response"), (5, "messages"), (6, "response"), (7, ""), (9, "id")]
    assert "as in line 1" in caught.value.errors[4].message
    assert not DemonstrationSet.objects.exists()


def test_an_empty_file_is_said_to_be_empty(project: Project) -> None:
    with pytest.raises(UploadRejected) as caught:
        _upload(project, ["\n"])
    assert "no demonstration" in str(caught.value.errors[0])


def test_a_set_of_which_nothing_is_left_to_train_on_is_refused(project: Project) -> None:
    """Some question falls into the test split at 0.9."""
    for number in range(20):
        line = _jsonl({"prompt": f"Question {number}?", "response": "Yes."})
        try:
            _upload(project, line, name=f"Set {number}", test_share=0.9)
        except WorkflowError as error:
            assert "nothing is left to train on" in error.message
            return
    pytest.fail("twenty prompts at 0.9 and none of them was held out")


def test_a_folder_is_whole_or_not_there(project: Project, monkeypatch: pytest.MonkeyPatch, settings: object) -> None:
    def full_disk(*_given: object, **_named: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(pq, "write_table", full_disk)
    with pytest.raises(OSError, match="No space"):
        _upload(project, _many(3))
    assert not DemonstrationSet.objects.exists()
    assert not list((Path(settings.SNAPSHOTS_DIR) / "demonstrations").iterdir())
