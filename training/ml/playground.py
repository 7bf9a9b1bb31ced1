"""Recipe "playground": loads what was asked for once, and answers the requests in its mailbox until nobody is there."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch

from training.ml import cancel
from training.ml.device import Device, choose_device
from training.ml.errors import ModelError, is_out_of_memory
from training.ml.job import Job
from training.ml.progress import Progress
from training.ml.prompts import is_chat
from training.ml.scorer import Scorer, load_scorer
from training.ml.speaker import Speaker, Stopped, load_speaking
from training.recipes.errors import RecipeError
from training.recipes.fields import build
from training.recipes.mailbox import CHAT, FIRST, SCORE, SECOND, Mailbox, Unreadable
from training.recipes.playground import TalkConfig
from training.recipes.words import gettext_noop

POLL_SECONDS = 0.1
WRITE_SECONDS = 0.2  # between two writes of an answer that is not done
IDLE, TOLD = "idle", "told"


@dataclass
class Room:
    """What is loaded; `done` holds the requests that need not be looked at again."""

    mailbox: Mailbox
    seed: int
    speakers: dict[str, Speaker]
    scorer: Scorer | None
    done: set[int] = field(default_factory=set)

    def next_open(self) -> int | None:
        for number in self.mailbox.numbers():
            if number not in self.done:
                return number
        return None


def run(job: Job) -> None:
    """Serve until idle for too long, or until SIGTERM: then what is being written is what there is, and that is an end
    like any other. Raises ModelError for what cannot be loaded."""
    progress = Progress(job.directory)
    progress.status("loading")
    room = enter(job, choose_device(), progress)
    progress.status("serving")
    began = time.monotonic()
    ended = serve(room, idle_seconds=job.config.idle_minutes * 60)
    _write_result(job, {"answered": len(room.done), "ended": ended, "seconds": round(time.monotonic() - began, 1)})


def enter(job: Job, device: Device, progress: Progress) -> Room:
    """A session that only scores names its reward model as its model, too."""

    def on_convert() -> None:
        progress.status("converting")

    specs = {FIRST: job.model, SECOND: job.reference_model}
    speakers = {}
    for name, spec in specs.items():
        if spec is not None and spec != job.reward_model:
            cancel.check()
            speakers[name] = load_speaking(spec, job.cache, device, on_convert)
    cancel.check()
    scorer = load_scorer(job.reward_model, job.cache, device, on_convert) if job.reward_model else None
    return Room(Mailbox(job.directory), job.seed, speakers, scorer)


def serve(room: Room, *, idle_seconds: float) -> str:
    """Why it ended."""
    looked = time.monotonic()
    while not cancel.requested():
        number = room.next_open()
        if number is not None:
            answer(room, number)
            looked = time.monotonic()
        elif time.monotonic() - looked > idle_seconds:
            return IDLE
        else:
            time.sleep(POLL_SECONDS)
    return TOLD


def answer(room: Room, number: int) -> None:
    """Every part of the request that has no answer yet. What is wrong with it is its answer; the room stays open."""
    try:
        request = room.mailbox.request(number)
        parts = _parts(room, request)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        said = gettext_noop("This request cannot be read: %(error)s.")
        parts = {"problem": _raising(ModelError("bad_request", said, gettext_noop("Ask again."), error=error))}
    for part, work in parts.items():
        if not room.mailbox.is_done(number, part) and not cancel.requested():
            _answer_part(room, number, part, work)
    if not cancel.requested():
        room.done.add(number)


Work = Callable[["Told"], dict[str, Any]]


class Told:
    """Writes what there is of an answer, not oftener than anybody looks. Raises Stopped once that is wanted."""

    def __init__(self, mailbox: Mailbox, number: int, part: str) -> None:
        self.mailbox, self.number, self.part = mailbox, number, part
        self.latest: dict[str, Any] = {}
        self.written_at = 0.0

    def __call__(self, make: Callable[[], dict[str, Any]]) -> None:
        now = time.monotonic()
        if now - self.written_at < WRITE_SECONDS:
            return
        self.written_at = now
        self.latest = make()
        self.mailbox.write_answer(self.number, self.part, {**self.latest, "done": False})
        if self.mailbox.is_to_stop(self.number):
            raise Stopped


def _answer_part(room: Room, number: int, part: str, work: Work) -> None:
    told = Told(room.mailbox, number, part)
    began = time.monotonic()
    try:
        if room.mailbox.is_to_stop(number):
            raise Stopped
        found = work(told)
    except (Stopped, cancel.Cancelled):
        found = {"text": "", "tokens": 0, "finished": False, **told.latest, "stopped": True}
    except ModelError as error:
        found = {"error": error.told()}
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        found = {"error": _too_little_memory(error).told()}
    found |= {"done": True, "seconds": round(time.monotonic() - began, 2)}
    room.mailbox.write_answer(number, part, found)


def _parts(room: Room, request: dict[str, Any]) -> dict[str, Work]:
    """In the order in which they stand on the screen, so that what comes first tells nothing of who writes it."""
    if request["kind"] == CHAT:
        return {part: _speaking(room, request, part) for part in request["order"]}
    if request["kind"] == SCORE:
        return {SCORE: _scoring(room, request)}
    raise Unreadable(f"its kind is {request['kind']!r}")


def _speaking(room: Room, request: dict[str, Any], part: str) -> Work:
    messages, seed, settings = request["sides"][part], int(request["seed"]), dict(request["settings"])
    _require(part in (FIRST, SECOND) and is_chat(messages), "its conversation is none")

    def work(told: Told) -> dict[str, Any]:
        if part not in room.speakers:
            raise _not_here(part)
        try:
            talk = build(TalkConfig, settings)
        except RecipeError as error:
            raise ModelError("bad_config", f"{error.field}: {error.template}", **error.values) from error
        return room.speakers[part].speak(messages, talk, seed, part, told)

    return work


def _scoring(room: Room, request: dict[str, Any]) -> Work:
    messages, response = request["messages"], request["response"]
    _require(is_chat(messages) and isinstance(response, str), "its text is none")

    def work(told: Told) -> dict[str, Any]:
        if room.scorer is None:
            raise _not_here(SCORE)
        return room.scorer.after_each_sentence(messages, response, told)

    return work


def _require(fact: bool, otherwise: str) -> None:
    """A request is written by our own web process or by hand."""
    if not fact:
        raise Unreadable(otherwise)


def _raising(error: ModelError) -> Work:
    def work(told: Told) -> dict[str, Any]:
        raise error

    return work


def _not_here(part: str) -> ModelError:
    return ModelError(
        "not_loaded",
        gettext_noop("This playground has loaded no model for it (%(part)s)."),
        gettext_noop("Start another playground with the model that you want to ask."),
        part=part,
    )


def _too_little_memory(error: Exception) -> ModelError:
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return ModelError(
        "out_of_memory",
        gettext_noop("The memory did not suffice: %(error)s"),
        gettext_noop("Shorten the conversation, ask for fewer tokens, or load fewer models at once."),
        error=(str(error).strip() or type(error).__name__).splitlines()[0],
    )


def _write_result(job: Job, result: dict[str, Any]) -> None:
    temporary = job.directory / "result.json.tmp"
    temporary.write_text(json.dumps({"format": 1, **result}) + "\n", encoding="utf-8")
    os.replace(temporary, job.directory / "result.json")
