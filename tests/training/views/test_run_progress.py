"""The JSON that the curves are drawn from: only what is new, only whole lines, and all anew after a resume."""

import os
from pathlib import Path

import pytest
from django.test import Client
from django.urls import reverse

from annotate.models import User
from tests.training.views.conftest import begin, complete, step, write_progress
from training.models import Round, Run
from training.workflow import run_lines, runs
from training.workflow.folders import progress_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def run(round: Round) -> Run:
    return begin(round.runs.get(stage=0))


def ask(client: Client, run: Run, **query: object) -> dict:
    answer = client.get(reverse("run_progress", args=["garden", run.pk]), query)
    assert answer.status_code == 200
    return answer.json()


def steps(answer: dict) -> list[int]:
    return [row["step"] for row in answer["rows"]]


def test_a_run_that_has_written_nothing_has_a_state_and_no_rows(as_lead: Client, run: Run) -> None:
    answer = ask(as_lead, run)
    assert (answer["state"], answer["over"], answer["rows"], answer["offset"]) == ("running", False, [], 0)


def test_each_answer_brings_only_the_lines_after_the_one_before(as_lead: Client, run: Run) -> None:
    size = write_progress(run, [step(1), step(2)])
    runs.beat(run, step(2))
    first = ask(as_lead, run)
    assert (steps(first), first["offset"], first["progress"]["step"]) == ([1, 2], size, 2)
    assert ask(as_lead, run, after=size, file=first["file"])["rows"] == []
    write_progress(run, [step(3)])
    later = ask(as_lead, run, after=size, file=first["file"])
    assert (steps(later), later["restarted"]) == ([3], False)


def test_a_line_that_is_still_being_written_is_left_for_later(as_lead: Client, run: Run) -> None:
    size = write_progress(run, [step(1)])
    with progress_of(run).open("a") as file:
        file.write('{"kind": "step", "st')
    first = ask(as_lead, run)
    assert (steps(first), first["offset"], first["more"]) == ([1], size, False)
    with progress_of(run).open("a") as file:
        file.write('ep": 2}\n')
    assert steps(ask(as_lead, run, after=first["offset"], file=first["file"])) == [2]


def test_a_resumed_run_that_replaced_its_file_is_read_anew_even_if_it_has_grown_longer_since(
    as_lead: Client, run: Run
) -> None:
    write_progress(run, [step(1), step(2), step(3)])
    before = ask(as_lead, run)
    path = progress_of(run)
    path.rename(path.with_name("old"))
    write_progress(run, [step(number) for number in range(1, 9)])
    after = ask(as_lead, run, after=before["offset"], file=before["file"])
    assert after["restarted"] is True
    assert steps(after) == list(range(1, 9))


def test_a_file_that_became_shorter_in_place_is_read_anew(as_lead: Client, run: Run) -> None:
    write_progress(run, [step(1), step(2), step(3)])
    before = ask(as_lead, run)
    os.truncate(progress_of(run), progress_of(run).stat().st_size // 3)
    after = ask(as_lead, run, after=before["offset"], file=before["file"])
    assert (after["restarted"], steps(after)) == (True, [1])


def test_a_long_file_comes_in_pieces_without_loss(as_lead: Client, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_lines, "LARGEST_PIECE", 1000)
    write_progress(run, [step(number) for number in range(40)])
    found, offset, more = [], 0, True
    while more:
        answer = ask(as_lead, run, after=offset)
        found, offset, more = found + steps(answer), answer["offset"], answer["more"]
    assert found == list(range(40))


def test_a_line_longer_than_a_piece_comes_whole_once_it_is_written(
    as_lead: Client, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_lines, "LARGEST_PIECE", 1000)
    write_progress(run, [step(1), {**step(2), "text": "x" * 5000}, step(3)])
    first = ask(as_lead, run)
    second = ask(as_lead, run, after=first["offset"])
    third = ask(as_lead, run, after=second["offset"])
    assert [steps(answer) for answer in (first, second, third)] == [[1], [2], [3]]
    assert [answer["more"] for answer in (first, second, third)] == [True, True, False]
    with progress_of(run).open("a") as file:
        file.write('{"kind": "step", "text": "' + "x" * 5000)
    waiting = ask(as_lead, run, after=third["offset"])
    assert waiting["rows"] == [] and waiting["offset"] == third["offset"] and not waiting["more"]


def test_a_line_that_is_no_json_is_left_out_and_the_curve_goes_on(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "progress.jsonl"
    path.write_text('{"step": 1}\n\x00\x00\x00\n[1]\n{"step": 2}\n')
    assert steps(run_lines.read_rows(path, 0)) == [1, 2]


@pytest.mark.parametrize("after", ["-1", "x", "1.5", "", "²", "9" * 30])
def test_an_offset_that_is_none_is_refused_with_words(as_lead: Client, run: Run, after: str) -> None:
    answer = as_lead.get(reverse("run_progress", args=["garden", run.pk]), {"after": after})
    assert answer.status_code == 400
    assert "byte offset" in answer.json()["detail"]


def test_a_run_that_is_over_says_so(as_lead: Client, round: Round) -> None:
    run = round.runs.get(stage=0)
    complete(run, {})
    assert ask(as_lead, run)["over"] is True


def test_an_annotator_and_a_stranger_learn_nothing(client: Client, run: Run, ann: User, stranger: User) -> None:
    url = reverse("run_progress", args=["garden", run.pk])
    for person, status in ((ann, 403), (stranger, 404)):
        client.force_login(person)
        assert client.get(url).status_code == status
