"""Records as LLaMA-Factory (ShareGPT's conversations, Alpaca's instructions) and HH-RLHF (transcripts) have them.

LLaMA-Factory's forms are https://llamafactory.readthedocs.io/en/latest/getting_started/data_preparation.html, the
transcripts those of https://huggingface.co/datasets/Anthropic/hh-rlhf. What comes out has TRL's fields.
"""

import re
from collections.abc import Sequence
from typing import Any

from django.utils.translation import gettext as _

from annotate.workflow.uploaded_lines import Problem, Record, is_given, turns_of

SIDES = ("chosen", "rejected")
SPEAKERS = {"human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant", "system": "system"}
TURN = re.compile(r"\n\n(Human|Assistant):")
Turns = list[dict[str, str]]


def with_messages(record: Record) -> Record:
    """ShareGPT's `conversations`, with a `system` before them, as `messages`. Raises Problem."""
    if not is_given(record, "conversations"):
        return record
    require_alone(record, "conversations", ("messages", "prompt", "instruction"))
    said = record["conversations"]
    if not isinstance(said, list) or not said:
        raise Problem("conversations", _("must be a list of turns"))
    turns = [_turn("conversations", turn) for turn in said]
    if turns[0]["role"] == "system":
        require_alone(record, "conversations", ("system",))
    turns = [*_system(record), *turns]
    rest = {name: value for name, value in record.items() if name not in ("conversations", "system")}
    return {**rest, "messages": turns_of({"conversations": turns}, "conversations")}


def with_turns(record: Record, responses: Sequence[str] = ()) -> Record:
    """A transcript as `prompt`, as messages; what answers it, in the fields `responses`, without blanks around it."""
    if not _is_transcript(record.get("prompt")):
        return record
    answers = {field: record[field].strip() for field in responses if isinstance(record.get(field), str)}
    return {**record, "prompt": _asked(record["prompt"]), **answers}


def as_trl_preference(record: Record) -> Record:
    """The record with the prompt where TRL has it: as messages, or as the beginning of two conversations. Raises
    Problem."""
    if is_given(record, "conversations"):
        record = with_messages(record)
        record["prompt"] = record.pop("messages")
    elif is_given(record, "instruction"):
        require_alone(record, "instruction", ("prompt", "messages", "output"))
        record = {
            **{
                name: value
                for name, value in record.items()
                if name not in ("instruction", "input", "system", "history")
            },
            "prompt": instruction_of(record),
        }
    elif not is_given(record, "prompt") and all(_is_transcript(record.get(side)) for side in SIDES):
        return {**record, **{side: _transcript(record[side]) for side in SIDES}}
    elif _is_transcript(record.get("prompt")):
        sides = {side: _after_transcript(record[side]) for side in SIDES if isinstance(record.get(side), str)}
        record = {**record, "prompt": _asked(record["prompt"]), **sides}
    return {**record, **{side: _said(record, side) for side in SIDES if isinstance(record.get(side), dict)}}


def as_trl_vote(record: Record) -> Record:
    """The record with `label` for LLaMA-Factory's `kto_tag`, and with the prompt and the response that the vote is on
    each by itself. Raises Problem."""
    if is_given(record, "kto_tag"):
        require_alone(record, "kto_tag", ("label",))
        record = {**record, "label": record["kto_tag"]}
    if is_given(record, "conversations"):
        require_alone(record, "conversations", ("completion", "response"))
        *prompt, last = with_messages(record)["messages"]
        require_answered(last)
        return {**record, "messages": prompt, "completion": last["content"]}
    if is_given(record, "instruction"):
        require_alone(record, "instruction", ("prompt", "messages", "completion", "response"))
        return {**record, "prompt": instruction_of(record), "completion": text_of(record, "output")}
    return with_turns(record, ("completion", "response"))


def require_answered(last: dict[str, str]) -> None:
    """Raises Problem unless the last turn of the conversations is the response."""
    if last["role"] != "assistant":
        raise Problem("conversations", _("must end with a turn of the assistant (“gpt”), the response"))


def instruction_of(record: Record) -> Turns:
    """Alpaca's prompt: the input goes below the instruction, `system` and the pairs of `history` before it, as
    LLaMA-Factory has it. Raises Problem."""
    asked = [text_of(record, field) for field in ("instruction", "input") if is_given(record, field)]
    turns = _system(record)
    for said, answered in _history(record):
        turns += [{"role": "user", "content": said}, {"role": "assistant", "content": answered}]
    return [*turns, {"role": "user", "content": "\n".join(asked)}]


def text_of(record: Record, field: str) -> str:
    value = record.get(field)
    if not isinstance(value, str) or not value.strip():
        raise Problem(field, _("must be a text and not empty"))
    return value


def require_alone(record: Record, field: str, others: Sequence[str]) -> None:
    """Raises Problem for the first of the `others` that is given beside `field`: none is dropped in silence."""
    for other in others:
        if is_given(record, other):
            raise Problem(other, _("give “%(one)s” or “%(other)s”, not both") % {"one": field, "other": other})


def _system(record: Record) -> Turns:
    return [{"role": "system", "content": text_of(record, "system")}] if is_given(record, "system") else []


def _history(record: Record) -> list[tuple[str, str]]:
    pairs = record.get("history") or []
    is_pairs = isinstance(pairs, list) and all(isinstance(pair, list) and len(pair) == 2 for pair in pairs)
    if not is_pairs or not all(isinstance(text, str) and text.strip() for pair in pairs for text in pair):
        raise Problem("history", _("must be a list of pairs: what was asked, and what was answered"))
    return [(said, answered) for said, answered in pairs]


def _turn(field: str, turn: Any) -> dict[str, Any]:
    """`from` and `value`; also `role` and `content`, which many such files have. A tool's turn is none of ours."""
    if not isinstance(turn, dict):
        raise Problem(field, _("each turn needs “from” and “value”"))
    speaker, said = (turn["from"], turn.get("value")) if "from" in turn else (turn.get("role"), turn.get("content"))
    if speaker not in SPEAKERS:
        raise Problem(field, _("each turn needs a “from”: human, gpt or system (turns of tools are not read)"))
    return {"role": SPEAKERS[speaker], "content": said}


def _said(record: Record, side: str) -> Turns:
    return turns_of({side: [_turn(side, record[side])]}, side)


def _is_transcript(value: Any) -> bool:
    return isinstance(value, str) and TURN.match(value) is not None


def _transcript(text: str) -> Turns:
    _before, *parts = TURN.split(text)
    pairs = zip(parts[::2], parts[1::2], strict=True)
    return [{"role": "user" if who == "Human" else "assistant", "content": said.strip()} for who, said in pairs]


def _asked(prompt: str) -> Turns:
    """Without the name of the assistant at its end, whose answer comes beside it."""
    turns = _transcript(prompt)
    return turns if turns[-1]["content"] or turns[-1]["role"] == "user" else turns[:-1]


def _after_transcript(text: str) -> Turns | str:
    return _transcript(text) if _is_transcript(text) else text.strip()
