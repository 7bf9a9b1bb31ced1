"""Playgrounds as rows and files: what may be started, what is asked, what becomes a comparison, and what is hidden."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from annotate.models import Project, User
from annotate.workflow.exceptions import WorkflowError
from annotate.workflow.projects import create_project
from tests.factories import make_user
from tests.training.playgrounds import TEXTS, begun, models, over, reply, reply_score
from training.models import Artifact, Playground, Run, RunState, Task
from training.workflow import device, jobs, playground
from training.workflow.exceptions import (
    BadConfig,
    BadInput,
    ModelRefused,
    PlaygroundBusy,
    PlaygroundEnded,
    TooLittleMemory,
)
from training.workflow.folders import folder_of
from training.workflow.playground import allow_comparisons, mailbox_of, names_of, sides_of, start_playground
from training.workflow.playground_chat import ask, ask_again, score, score_answer, stop_answer
from training.workflow.playground_memory import memory_wanted
from training.workflow.playground_turns import conversation_of

pytestmark = pytest.mark.django_db
Cast = tuple[Artifact, Artifact, Artifact]


@pytest.fixture
def cast(project: Project) -> Cast:
    return models(project)


@pytest.fixture
def session(project: Project, cast: Cast) -> Playground:
    """Two models side by side, in a project that takes comparisons."""
    allow_comparisons(project, True)
    return begun(project, list(cast[:2]), reward_model=cast[2])


def asked(session: Playground, number: int) -> dict[str, Any]:
    return mailbox_of(session).request(number)


def test_what_cannot_be_loaded_is_not_started(project: Project, cast: Cast) -> None:
    one, two, judge = cast
    encoder = Artifact.objects.create(project=project, name="bert", task=Task.ENCODER, location="owner/bert")
    other = create_project(slug="desert", name="Desert", manager=make_user("other"))
    foreign = Artifact.objects.create(project=other, name="far", location="owner/far")
    gone = Artifact.objects.create(project=project, name="gone", location="owner/gone", deleted_at="2026-01-01T00:00Z")
    wrong: list[tuple[type[WorkflowError], str, list[Artifact], dict[str, Any]]] = [
        (BadInput, "model", [], {}),
        (BadInput, "other", [one, one], {}),
        (BadInput, "blind", [one], {"blind": True}),
        (BadInput, "model", [one, two, one], {}),
        (BadInput, "other", [one, foreign], {}),
        (ModelRefused, "model", [encoder], {}),
        (ModelRefused, "model", [gone], {}),
        (ModelRefused, "other", [one, judge], {}),
        (ModelRefused, "reward_model", [one], {"reward_model": two}),
        (BadConfig, "playground.idle_minutes", [one], {"config": {"idle_minutes": 0}}),
        (BadConfig, "playground.colour", [one], {"config": {"colour": "red"}}),
    ]
    for kind, where, chosen, more in wrong:
        with pytest.raises(kind) as refused:
            start_playground(project, chosen, **more)
        assert refused.value.where == where and refused.value.hint
    assert not Run.objects.exists() and not Playground.objects.exists()


def test_the_job_names_what_is_loaded_and_a_score_needs_no_policy(project: Project, cast: Cast) -> None:
    one, two, judge = cast
    both = start_playground(project, [one, two], reward_model=judge).run
    job = json.loads((jobs.prepare(both) / "job.json").read_text())
    named = [job[name]["base"] for name in ("model", "reference_model", "reward_model")]
    assert named == ["owner/alpha", "owner/beta", "owner/judge"]
    assert (job["recipe"], job["config"]) == ("playground", {"idle_minutes": 15})
    alone = start_playground(project, [], reward_model=judge)
    job = json.loads((jobs.prepare(alone.run) / "job.json").read_text())
    assert job["model"] == job["reward_model"] and sides_of(alone) == {}


def test_nobody_can_take_it_before_its_folder_is_ready(
    project: Project, cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the worker's own preparing would run into the page's; and without a folder nothing is started."""
    seen: list[bool] = []
    prepare = jobs.prepare

    def watched(run: Run) -> Path:
        seen.append(connection.in_atomic_block and len(connection.savepoint_ids) > depth)
        return prepare(run)

    depth = len(connection.savepoint_ids)
    monkeypatch.setattr(jobs, "prepare", watched)
    session = start_playground(project, [cast[0]])
    assert seen == [True] and session.run.state == RunState.QUEUED

    def full(run: Run) -> Path:
        raise OSError("no space left on device")

    monkeypatch.setattr(jobs, "prepare", full)
    with pytest.raises(OSError, match="no space left"):
        start_playground(project, [cast[0]])
    assert list(Playground.objects.all()) == [session] and Run.objects.get() == session.run


def test_what_is_asked_before_the_process_is_there_waits_for_it_and_no_stranger_is_heard(
    project: Project, cast: Cast
) -> None:
    """A database made anew counts its runs from 1 again: an earlier run's folder of this number is not ours."""
    session = start_playground(project, [cast[0]])
    ask(session, "How?")
    jobs.prepare(session.run)  # as the supervisor does
    assert mailbox_of(session).numbers() == [1]
    folder = folder_of(session.run)
    stranger = folder.with_name(str(session.run_id + 1))
    shutil.copytree(folder, stranger)
    later = start_playground(project, [cast[0]])
    assert folder_of(later.run) == stranger and mailbox_of(later).numbers() == []


def test_models_that_would_not_fit_are_refused_unless_asked_for_all_the_same(
    project: Project, model_folder: Path, policy: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = memory_wanted([policy], None)
    parameters = 800 * 64 + 2 * (64 * 64 * 2 + 64 * 32 * 2 + 3 * 64 * 128 + 2 * 64) + 64
    assert wanted.fits and wanted.memory is not None
    assert wanted.memory.parts["weights"] == pytest.approx(4 * parameters, rel=0.02)  # its own BPE may end earlier
    monkeypatch.setattr(device, "found", lambda: device.Found(host=wanted.memory.total - 1, gpu=0))
    monkeypatch.setattr(device, "PROCESS_BYTES", 0)
    with pytest.raises(TooLittleMemory, match="need about") as refused:
        start_playground(project, [policy])
    assert refused.value.where == "anyway" and not Run.objects.exists()
    assert start_playground(project, [policy], anyway=True).run.state == RunState.QUEUED


def test_the_memory_of_what_is_not_here_yet_is_not_known_and_holds_nobody_up(project: Project, cast: Cast) -> None:
    wanted = memory_wanted([cast[0]], cast[2])
    assert wanted.memory is None and wanted.fits and "not on this machine yet" in wanted.problem


def test_a_conversation_goes_on_from_each_models_own_answer(session: Playground) -> None:
    reply(session, ask(session, "How?", system="Be short."))
    second = asked(session, ask(session, "And then?", system="Be short."))
    assert second["order"] == ["first", "second"]
    for part, text in TEXTS.items():
        turns = [("system", "Be short."), ("user", "How?"), ("assistant", text), ("user", "And then?")]
        assert [(turn["role"], turn["content"]) for turn in second["sides"][part]] == turns


def test_both_can_go_on_from_one_answer_and_a_new_beginning_forgets_the_rest(session: Playground) -> None:
    reply(session, ask(session, "How?"))
    number = ask(session, "And then?", goes_on_from="right")
    sides = asked(session, number)["sides"]
    assert sides["first"] == sides["second"] and sides["first"][1]["content"] == TEXTS["second"]
    reply(session, number)
    number = ask(session, "Something else?", begins=True)
    assert [len(messages) for messages in asked(session, number)["sides"].values()] == [1, 1]
    assert [turn.number for turn in conversation_of(session).turns] == [number]


def test_the_last_message_is_answered_again_in_place_of_itself(session: Playground) -> None:
    reply(session, ask(session, "How?"))
    second = ask(session, "And then?", settings={"temperature": 0.1}, seed=5)
    reply(session, second)
    again = ask_again(session, second, settings={"temperature": 0.9})
    assert asked(session, again)["sides"] == asked(session, second)["sides"]
    assert asked(session, again)["seed"] != 5 and asked(session, again)["settings"]["temperature"] == 0.9
    reply(session, again)
    edited = ask_again(session, again, "And before?")
    found = conversation_of(session).turns
    assert [turn.number for turn in found] == [1, edited] and found[1].text == "And before?"
    assert len(asked(session, edited)["sides"]["first"]) == 3
    with pytest.raises(BadInput, match="Only the last"):
        reply(session, edited)
        ask_again(session, second)


def test_a_first_message_answered_again_stays_the_first(session: Playground) -> None:
    reply(session, ask(session, "Old"))
    reply(session, ask(session, "New", begins=True))
    again = ask_again(session, 2)
    assert [turn.number for turn in conversation_of(session).turns] == [again]


def test_a_turn_that_went_wrong_was_not_said(session: Playground) -> None:
    number = ask(session, "How?")
    for part in ("first", "second"):
        mailbox_of(session).write_answer(
            number, part, {"done": True, "error": {"message": "No.", "hint": "Ask again."}}
        )
    assert conversation_of(session).last.answers[0].problem == "No."
    assert len(asked(session, ask(session, "Why?"))["sides"]["first"]) == 1


def test_nothing_is_asked_while_an_answer_is_written_or_after_the_end(session: Playground) -> None:
    number = ask(session, "How?")
    mailbox_of(session).write_answer(number, "first", {"text": "Wat", "tokens": 1, "done": False})
    with pytest.raises(PlaygroundBusy):
        ask(session, "And?")
    with pytest.raises(PlaygroundBusy):
        ask_again(session, number)
    assert conversation_of(session).last.answers[0].text == "Wat"
    stop_answer(session, number)
    assert mailbox_of(session).is_to_stop(number)
    with pytest.raises(BadInput):
        stop_answer(session, 99)
    reply(session, number)
    over(session, RunState.FAILED, reason="Killed.")
    for verb in (lambda: ask(session, "And?"), lambda: ask_again(session, number), lambda: score(session, "a", "b")):
        with pytest.raises(PlaygroundEnded):
            verb()


@pytest.mark.parametrize(
    ("text", "said"),
    [(" \n", "no text"), ("x" * 50_001, "50001 characters"), ("\ud800", "surrogate"), ("a\x00b", "NUL")],
)
def test_a_text_that_nobody_can_read_is_refused_and_nothing_is_written(
    session: Playground, text: str, said: str
) -> None:
    for verb in (
        lambda: ask(session, text),
        lambda: score(session, text, "So."),
        lambda: score(session, "How?", text),
    ):
        with pytest.raises(BadInput, match=said):
            verb()
    if text.strip():
        with pytest.raises(BadInput, match=said):
            ask(session, "How?", system=text)
    with pytest.raises(BadConfig) as refused:
        ask(session, "How?", settings={"temperature": 5})
    assert refused.value.field == "temperature"
    with pytest.raises(BadInput, match="cannot go on"):
        ask(session, "How?", goes_on_from="above")
    assert mailbox_of(session).numbers() == []


def test_scores_have_their_sentences_and_what_each_has_changed(session: Playground) -> None:
    text = "One. Two."
    number = score(session, "How?", text, "Be fair.")
    assert [turn["role"] for turn in asked(session, number)["messages"]] == ["system", "user"]
    assert not conversation_of(session).scores[0].done
    reply_score(session, number, text, [0.5, 0.25], [4, 9])
    [found] = conversation_of(session).scores
    assert [(row.text, row.score, row.change) for row in found.sentences] == [
        ("One.", 0.5, None),
        ("Two.", 0.25, -0.25),
    ]
    assert found.total == 0.25 and found.prompt == "How?"


def test_an_answer_is_scored_to_what_it_answered(session: Playground) -> None:
    number = ask(session, "How?", system="Be short.")
    with pytest.raises(BadInput, match="no answer here"):
        score_answer(session, number, "left")
    reply(session, number)
    request = asked(session, score_answer(session, number, "right"))
    assert request["response"] == TEXTS["second"]
    assert request["messages"] == conversation_of(session).last.messages["second"]
    for side in ("above", ""):
        with pytest.raises(BadInput):
            score_answer(session, number, side)


def test_a_playground_without_a_reward_model_scores_nothing_and_one_without_a_policy_says_nothing(
    project: Project, cast: Cast
) -> None:
    with pytest.raises(BadInput, match="no reward model"):
        score(begun(project, [cast[0]]), "a", "b")
    with pytest.raises(BadInput, match="writes no text"):
        ask(begun(project, [], reward_model=cast[2]), "Hello")


def test_files_that_nobody_of_us_wrote_are_named_and_left_out(session: Playground) -> None:
    reply(session, ask(session, "How?"))
    folder = mailbox_of(session).folder
    for number, text in ((2, '{"format": 1, "ki'), (3, "[]"), (4, '{"format": 1, "kind": "chat"}'), (5, None)):
        (folder / f"{number:06d}").mkdir()
        if text is not None:
            (folder / f"{number:06d}" / "request.json").write_text(text)
    (folder / "notes.txt").write_text("x")
    found = conversation_of(session)
    assert found.unreadable == [2, 3, 4] and [turn.number for turn in found.turns] == [1]
    assert ask(session, "And?") == 6


def test_which_model_stands_left_is_drawn_hidden_and_told_when_asked_for(
    project: Project, cast: Cast, lead: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two, _judge = cast
    drawn = {start_playground(project, [one, two], blind=True).flipped for _ in range(40)}
    assert drawn == {True, False}
    assert not any(start_playground(project, [one, two]).flipped for _ in range(10))
    session = Playground.objects.filter(flipped=True).first()
    assert sides_of(session) == {"left": "second", "right": "first"}
    assert asked(session, ask(session, "How?"))["order"] == ["second", "first"]
    assert names_of(session) == {}
    playground.reveal(session, lead)
    playground.reveal(session, lead)
    assert names_of(session) == {"left": "beta", "right": "alpha"}
    assert session.run.events.filter(detail__contains="revealed", actor=lead).count() == 1


def test_the_end_is_asked_for_like_a_cancel_and_twice_is_once(project: Project, cast: Cast) -> None:
    queued = start_playground(project, [cast[0]])
    playground.end_playground(queued)
    playground.end_playground(queued)
    queued.run.refresh_from_db()
    assert queued.run.state == RunState.CANCELLED
    running = begun(project, [cast[0]])
    playground.end_playground(running)
    running.run.refresh_from_db()
    assert running.run.state == RunState.CANCELLING
