"""Reads what was said in a playground out of its mailbox: turns with the answers by place on the screen, and scores."""

from dataclasses import dataclass, field
from typing import Any

from training.models import Playground
from training.recipes.mailbox import CHAT, FIRST, SCORE, SECOND, Mailbox, Unreadable
from training.recipes.storable import storable
from training.workflow.playground import mailbox_of, sides_of
from training.workflow.told import in_readers_language

PROBLEM = "problem"
Messages = list[dict[str, str]]


@dataclass(frozen=True)
class Answer:
    """`part` is whose it is, `side` where it stands; `problem` in the reader's language, "" if there is none.

    `finished`: it ended by itself. `stopped`: somebody had seen enough, or the playground ended."""

    part: str
    side: str
    text: str = ""
    tokens: int = 0
    begun: bool = False
    done: bool = False
    finished: bool = False
    stopped: bool = False
    seed: int | None = None
    problem: str = ""
    hint: str = ""


@dataclass(frozen=True)
class Turn:
    """`messages`: what each part was asked, {part: messages}."""

    number: int
    text: str
    system: str
    settings: dict[str, Any]
    seed: int
    messages: dict[str, Messages]
    answers: list[Answer]

    @property
    def is_done(self) -> bool:
        return all(answer.done for answer in self.answers)

    @property
    def one_prompt(self) -> Messages | None:
        """What both models answered; None if it was not the same."""
        first, second = self.messages.get(FIRST), self.messages.get(SECOND)
        return first if first is not None and first == second else None

    def answer_of(self, part: str) -> Answer | None:
        return next((answer for answer in self.answers if answer.part == part), None)


@dataclass(frozen=True)
class Sentence:
    """`score` is that of the text up to its end, `change` what it has added; None of the first one."""

    text: str
    score: float
    change: float | None


@dataclass(frozen=True)
class Scored:
    number: int
    messages: Messages
    response: str
    done: bool = False
    stopped: bool = False
    total: float | None = None
    tokens: int = 0
    sentences: list[Sentence] = field(default_factory=list)
    problem: str = ""
    hint: str = ""

    @property
    def prompt(self) -> str:
        return self.messages[-1]["content"]


@dataclass(frozen=True)
class Conversation:
    """`turns` of the conversation that is going on, `scores` from the newest; `unreadable` are numbers of requests."""

    turns: list[Turn]
    scores: list[Scored]
    unreadable: list[int]

    @property
    def last(self) -> Turn | None:
        return self.turns[-1] if self.turns else None

    def turn(self, number: int) -> Turn | None:
        return next((turn for turn in self.turns if turn.number == number), None)


def conversation_of(session: Playground) -> Conversation:
    """A turn that was asked again is replaced by its newest version; a new beginning leaves all earlier turns out."""
    mailbox, sides = mailbox_of(session), sides_of(session)
    turns: list[Turn] = []
    scores: list[Scored] = []
    unreadable: list[int] = []
    for number in mailbox.numbers():
        try:
            request = storable(mailbox.request(number))
            if request["kind"] == SCORE:
                scores.append(_scored(mailbox, number, request))
            elif request["kind"] == CHAT:
                turn = _turn(mailbox, number, request, sides)
                turns = [*_before(turns, request), turn]
        except (Unreadable, KeyError, TypeError, AttributeError, IndexError):
            unreadable.append(number)
    return Conversation(turns, scores[::-1], unreadable)


def _before(turns: list[Turn], request: dict[str, Any]) -> list[Turn]:
    if request.get("begins"):
        return []
    replaced = request.get("replaces")
    return [turn for turn in turns if replaced is None or turn.number < replaced]


def _turn(mailbox: Mailbox, number: int, request: dict[str, Any], sides: dict[str, str]) -> Turn:
    messages = {part: request["sides"][part] for part in sides.values()}
    return Turn(
        number=number,
        text=request["text"],
        system=request.get("system", ""),
        settings=dict(request["settings"]),
        seed=request["seed"],
        messages=messages,
        answers=[_answer(mailbox, number, part, side) for side, part in sides.items()],
    )


def _answer(mailbox: Mailbox, number: int, part: str, side: str) -> Answer:
    found = _found(mailbox, number, part)
    if found is None:
        return Answer(part, side)
    facts = {name: found.get(name, False) for name in ("done", "finished", "stopped")}
    return Answer(
        part,
        side,
        text=found.get("text", ""),
        tokens=found.get("tokens", 0),
        begun=True,
        seed=found.get("seed"),
        **facts,
        **_wrong_with(found),
    )


def _scored(mailbox: Mailbox, number: int, request: dict[str, Any]) -> Scored:
    found = _found(mailbox, number, SCORE) or {}
    response = request["response"]
    return Scored(
        number=number,
        messages=request["messages"],
        response=response,
        done=found.get("done", False),
        stopped=found.get("stopped", False),
        total=found.get("total"),
        tokens=found.get("tokens", 0),
        sentences=_sentences(response, found.get("sentences", [])) if found.get("done") else [],
        **_wrong_with(found),
    )


def _sentences(response: str, rows: list[dict[str, Any]]) -> list[Sentence]:
    """The text between two ends. Of a stopped scoring some are missing, and what they would have said is not told."""
    sentences: list[Sentence] = []
    begin, before = 0, None
    for row in rows:
        end, score = row["end"], row["score"]
        change = None if before is None else score - before
        sentences.append(Sentence(response[begin:end].strip(), score, change))
        begin, before = end, score
    return sentences


def _found(mailbox: Mailbox, number: int, part: str) -> dict[str, Any] | None:
    """What could not be read as a request has its answer under another name; an answer that cannot be read is made
    again by the process, so until then there is none."""
    for name in (part, PROBLEM):
        try:
            found = mailbox.answer(number, name)
        except Unreadable:
            return None
        if found is not None:
            return storable(found)
    return None


def _wrong_with(found: dict[str, Any]) -> dict[str, str]:
    error = found.get("error")
    if not isinstance(error, dict):
        return {}
    values = error.get("values")
    return {
        "problem": in_readers_language(str(error.get("message", "")), error.get("template", ""), values),
        "hint": in_readers_language(str(error.get("hint", "")), error.get("hint_template", ""), values),
    }
