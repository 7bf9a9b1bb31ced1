"""The child of a playground: it answers what is in its mailbox, by the paths of sampling and scoring, and goes on."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.training.fixture_model import build_fixture_model
from tests.training.ml.jobs import write_job
from tests.training.ml.trained import Trained, train_briefly
from training.ml import cancel, playground
from training.ml.chat import prompt_ids, text_of
from training.ml.decoding import Drawing, complete
from training.ml.device import choose_device
from training.ml.errors import ModelError
from training.ml.job import Job, read_job
from training.ml.load import load_speaker
from training.ml.playground import Room, enter, serve
from training.ml.progress import Progress, read_lines
from training.ml.samples import sample_seed
from training.ml.scoring import score
from training.recipes.mailbox import Mailbox, Unreadable

HELLO = [{"role": "user", "content": "How do I bake bread?"}]
STORY = "First, mix flour and water. Second, wait an hour! 第三，烤面包。Then eat it"
TALK = {"temperature": 1.0, "top_p": 1.0, "max_new_tokens": 12}


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    base = build_fixture_model(tmp_path_factory.mktemp("base") / "model")
    return train_briefly("lora", "reward", base, tmp_path_factory.mktemp("judge") / "artifact")


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_fixture_model(tmp_path_factory.mktemp("other") / "model", seed=5)


def job_in(directory: Path, model: Path, *, second: Path | None = None, judge: Trained | None = None) -> Job:
    write_job(directory, "playground", model, {}, reward_model=judge.spec.as_dict() if judge else None)
    raw = json.loads((directory / "job.json").read_text())
    raw |= {"data": None, "reference_model": {"base": str(second), "adapters": []} if second else None}
    (directory / "job.json").write_text(json.dumps(raw))
    return read_job(directory)


def room_of(job: Job) -> Room:
    return enter(job, choose_device(), Progress(job.directory))


def chat(first: Any = HELLO, second: Any = None, **more: Any) -> dict[str, Any]:
    sides = {"first": first} | ({"second": second} if second else {})
    settings = {**TALK, **more.pop("settings", {})}
    return {"kind": "chat", "order": list(sides), "sides": sides, "settings": settings, "seed": 3, **more}


def answers(job: Job, *requests: dict[str, Any], part: str = "first") -> list[dict[str, Any] | None]:
    mailbox = Mailbox(job.directory)
    numbers = [mailbox.post(request) for request in requests]
    assert serve(room_of(job), idle_seconds=0) == "idle"
    return [mailbox.answer(number, part) for number in numbers]


def test_an_answer_is_what_sampling_draws_from_the_same_seed(fixture_model: Path, tmp_path: Path) -> None:
    job = job_in(tmp_path / "run", fixture_model)
    [found] = answers(job, chat())
    room = room_of(job)
    speaker = room.speakers["first"]
    ids, seed = prompt_ids(speaker.tokenizer, HELLO), sample_seed(3, "playground", "first", 0)
    model = load_speaker(job.model, cache=job.cache, device=choose_device())
    [drawn] = complete(model, [ids], [[seed]], stop=speaker.stop, pad_id=0, drawing=Drawing(1.0, 1.0, 12))
    expected = {"text": text_of(speaker.tokenizer, drawn.ids), "tokens": len(drawn.ids), "finished": drawn.finished}
    assert {name: found[name] for name in expected} == expected
    assert found["done"] and found["seed"] == seed and found["text"]


def test_two_models_answer_each_its_own_conversation(fixture_model: Path, other: Path, tmp_path: Path) -> None:
    job = job_in(tmp_path / "run", fixture_model, second=other)
    mailbox = Mailbox(job.directory)
    longer = [*HELLO, {"role": "assistant", "content": "Mix."}, {"role": "user", "content": "And then?"}]
    number = mailbox.post(chat(HELLO, longer))
    same = mailbox.post(chat(HELLO, HELLO, order=["second", "first"]))
    serve(room_of(job), idle_seconds=0)
    times = {part: (mailbox.folder / f"{same:06d}" / f"{part}.json").stat().st_mtime_ns for part in ("first", "second")}
    assert times["second"] < times["first"]  # as they stand on the screen
    first, second = mailbox.answer(number, "first"), mailbox.answer(number, "second")
    assert first["text"] != second["text"] != mailbox.answer(same, "second")["text"]
    assert first["text"] == mailbox.answer(same, "first")["text"]


def test_an_answer_is_seen_while_it_is_written_and_can_be_stopped(
    fixture_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = job_in(tmp_path / "run", fixture_model)
    mailbox = Mailbox(job.directory)
    number = mailbox.post(chat(settings={"max_new_tokens": 400}))
    monkeypatch.setattr(playground, "WRITE_SECONDS", 0)
    seen: list[int] = []
    write = Mailbox.write_answer

    def watched(self: Mailbox, which: int, part: str, answer: dict[str, Any]) -> None:
        write(self, which, part, answer)
        seen.append(mailbox.answer(which, part)["tokens"])
        if len(seen) == 5:
            mailbox.ask_to_stop(which)

    monkeypatch.setattr(Mailbox, "write_answer", watched)
    serve(room_of(job), idle_seconds=0)
    found = mailbox.answer(number, "first")
    assert seen[:5] == [1, 2, 3, 4, 5]
    assert found["stopped"] and found["done"] and not found["finished"] and found["tokens"] == 5


@pytest.mark.parametrize("pad_is_eos", [False, True])
def test_a_score_is_that_of_the_same_text_anywhere_else(tmp_path: Path, pad_is_eos: bool) -> None:
    base = build_fixture_model(tmp_path / "base", pad_is_eos=pad_is_eos)
    judge = train_briefly("lora", "reward", base, tmp_path / "judge")
    [found] = answers(job_in(tmp_path / "run", base, judge=judge), _score(STORY), part="score")
    alone = score(judge.reloaded(), judge.tokenizer, [(HELLO, STORY)], 1)[0]
    assert found["total"] == pytest.approx(alone, abs=1e-5)
    ends = [row["end"] for row in found["sentences"]]
    assert [STORY[:end] for end in ends] == [
        "First, mix flour and water.",
        "First, mix flour and water. Second, wait an hour!",
        "First, mix flour and water. Second, wait an hour! 第三，烤面包。",
        STORY,
    ]
    beginnings = score(judge.reloaded(), judge.tokenizer, [(HELLO, STORY[:end]) for end in ends], 2)
    assert [row["score"] for row in found["sentences"]] == pytest.approx(beginnings, abs=1e-5)
    assert max(beginnings) - min(beginnings) > 1e-3  # where all are alike, any would do


def test_a_reward_model_alone_can_be_asked(judge: Trained, tmp_path: Path) -> None:
    job = job_in(tmp_path / "run", judge.base, judge=judge)
    raw = json.loads((job.directory / "job.json").read_text())
    (job.directory / "job.json").write_text(json.dumps({**raw, "model": raw["reward_model"]}))
    job = read_job(job.directory)
    assert room_of(job).speakers == {}
    scored, spoken = answers(job, _score("Yes."), chat(), part="score")
    assert scored["total"] is not None and spoken is None
    assert Mailbox(job.directory).answer(2, "first")["error"]["code"] == "not_loaded"


def test_what_is_wrong_with_a_request_is_its_answer_and_the_next_one_is_served(
    fixture_model: Path, judge: Trained, tmp_path: Path
) -> None:
    job = job_in(tmp_path / "run", fixture_model, judge=judge)
    mailbox = Mailbox(job.directory)
    long = "word " * 3000
    wrong = {
        mailbox.post(chat([{"role": "user", "content": long}])): ("first", "prompt_too_long"),
        mailbox.post(_score(long)): ("score", "text_too_long"),
        mailbox.post(chat(second=HELLO)): ("second", "not_loaded"),
        mailbox.post(chat(settings={"temperature": 9})): ("first", "bad_config"),
        mailbox.post(chat([{"role": "user"}])): ("problem", "bad_request"),
        mailbox.post({"kind": "dance"}): ("problem", "bad_request"),
        mailbox.post({"kind": "chat", "order": ["../../x"], "sides": {}}): ("problem", "bad_request"),
        mailbox.post({"kind": "chat", "order": ["first"], "sides": {"first": HELLO}, "settings": TALK, "seed": "x"}): (
            "problem",
            "bad_request",
        ),
    }
    good = mailbox.post(chat())
    serve(room_of(job), idle_seconds=0)
    for number, (part, code) in wrong.items():
        found = mailbox.answer(number, part)
        assert found["done"] and found["error"]["code"] == code, number
        assert found["error"]["message"]
    assert mailbox.answer(good, "first")["text"]


def test_a_half_written_request_waits_and_a_broken_one_holds_nobody_up(fixture_model: Path, tmp_path: Path) -> None:
    job = job_in(tmp_path / "run", fixture_model)
    mailbox = Mailbox(job.directory)
    half, broken = mailbox.folder / "000001", mailbox.folder / "000002"
    half.mkdir(parents=True)
    (half / ".request.json.77.tmp").write_text('{"kind": "chat", "ord')
    broken.mkdir()
    (broken / "request.json").write_text('{"kind": "chat", "ord')
    number = mailbox.post(chat())
    assert number == 3
    room = room_of(job)
    serve(room, idle_seconds=0)
    assert not (half / "first.json").exists() and 1 not in room.done
    assert mailbox.answer(2, "problem")["error"]["code"] == "bad_request"
    assert mailbox.answer(3, "first")["text"]
    with pytest.raises(Unreadable):
        mailbox.request(2)
    (half / "request.json").write_text(json.dumps({"format": 1, **chat()}))
    serve(room, idle_seconds=0)
    assert mailbox.answer(1, "first")["text"] == mailbox.answer(3, "first")["text"]


def test_after_a_kill_what_has_no_answer_is_answered_and_the_rest_is_left_alone(
    fixture_model: Path, tmp_path: Path
) -> None:
    job = job_in(tmp_path / "run", fixture_model)
    mailbox = Mailbox(job.directory)
    kept, torn, half = (mailbox.post(chat()) for _ in range(3))
    mailbox.write_answer(kept, "first", {"text": "as it was", "done": True})
    (mailbox.folder / f"{torn:06d}" / "first.json").write_text('{"text": "as it w')
    mailbox.write_answer(half, "first", {"text": "as it w", "done": False})
    serve(room_of(job), idle_seconds=0)
    assert mailbox.answer(kept, "first")["text"] == "as it was"
    assert mailbox.answer(torn, "first")["text"] == mailbox.answer(half, "first")["text"] != "as it was"
    assert mailbox.answer(half, "first")["done"]


def test_it_ends_when_it_is_told_and_keeps_what_was_written(
    fixture_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = job_in(tmp_path / "run", fixture_model)
    mailbox = Mailbox(job.directory)
    number, next_one = mailbox.post(chat(settings={"max_new_tokens": 400})), mailbox.post(chat())
    monkeypatch.setattr(playground, "WRITE_SECONDS", 0)
    write = Mailbox.write_answer

    def told(self: Mailbox, which: int, part: str, answer: dict[str, Any]) -> None:
        write(self, which, part, answer)
        cancel._on_sigterm(15, None)

    monkeypatch.setattr(Mailbox, "write_answer", told)
    playground.run(job)
    assert mailbox.answer(number, "first")["stopped"] and mailbox.answer(next_one, "first") is None
    result = json.loads((job.directory / "result.json").read_text())
    assert result["ended"] == "told"
    assert [line["stage"] for line in read_lines(job.directory / "progress.jsonl")] == ["loading", "serving"]


def test_it_ends_by_itself_when_nobody_asks(fixture_model: Path, tmp_path: Path) -> None:
    job = job_in(tmp_path / "run", fixture_model)
    Mailbox(job.directory).post(chat())
    monkey = room_of(job)
    assert serve(monkey, idle_seconds=0.3) == "idle" and monkey.done == {1}


def test_too_little_memory_for_one_answer_is_not_the_end(
    fixture_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = job_in(tmp_path / "run", fixture_model)
    room, mailbox = room_of(job), Mailbox(job.directory)
    number = mailbox.post(chat())

    def full(*_given: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    with monkeypatch.context() as patch:
        patch.setattr(type(room.speakers["first"]), "speak", full)
        serve(room, idle_seconds=0)
    assert mailbox.answer(number, "first")["error"]["code"] == "out_of_memory"
    after = mailbox.post(chat())
    serve(room, idle_seconds=0)
    assert mailbox.answer(after, "first")["text"]


def test_a_model_that_cannot_be_loaded_is_told_before_anything_is_asked(tmp_path: Path) -> None:
    job = job_in(tmp_path / "run", tmp_path / "nowhere")
    with pytest.raises(ModelError, match="no model"):
        room_of(job)


def test_two_that_post_at_once_get_two_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mailbox = Mailbox(tmp_path)
    assert mailbox.post({"kind": "chat"}) == 1
    # The other one has looked before the first folder was made.
    monkeypatch.setattr(Mailbox, "_folders", lambda self: [])
    assert mailbox.post({"kind": "chat"}) == 2


def _score(response: str) -> dict[str, Any]:
    return {"kind": "score", "messages": HELLO, "response": response}
