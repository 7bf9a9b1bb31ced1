"""Preferences as TRL has them, `chosen` and `rejected`: each is a comparison that somebody has judged.

The forms are https://huggingface.co/docs/trl/dataset_formats#preference: texts or chats with a `prompt`, or two whole
conversations with a common beginning, which is the prompt. As the sets of Hugging Face have it, whole conversations may
also stand beside their `prompt`. LLaMA-Factory's and HH-RLHF's forms become one of these (foreign_forms.py).
"""

import hashlib
import json
from typing import Any

from django.utils.translation import gettext as _

from annotate.models import Choice
from annotate.workflow.foreign_forms import SIDES, as_trl_preference, require_alone
from annotate.workflow.uploaded_lines import Problem, Record, is_given, turns_of

# The columns by which a CSV file is known as one of preferences.
COLUMNS = ("prompt", *SIDES)
RESPONSES = ("response_a", "response_b")
JUDGED = ("annotations", "choice")
LETTERS = ("model_a", "model_b")
# What made the response of a side, also as Argilla's sets spell it.
MODELS = {side: (f"{side}_model", f"{side}-model") for side in SIDES}
READ = ("messages", *COLUMNS, *(name for names in MODELS.values() for name in names))
# Of a tie: our snapshots keep it as a pair of which neither is preferred.
EVEN = (0.5, "0.5")
Turns = list[dict[str, str]]


def is_preference(record: Record) -> bool:
    """Beside responses A and B the two names are metadata, as any other."""
    return any(is_given(record, side) for side in SIDES) and not any(is_given(record, name) for name in RESPONSES)


def as_comparison(record: Record, annotator: str) -> Record:
    """The record with one judgment in the form of ours. What else it says (scores, a margin) goes with the judgment:
    it would tell who won. Without an id, its content names it. Raises Problem."""
    require_alone(record, "chosen", JUDGED)
    models = _models(record)
    record = as_trl_preference(record)
    prompt, chosen, rejected = _pair(record)
    if is_given(record, "messages") and turns_of(record, "messages") not in (prompt, [*prompt, _answered(chosen)]):
        raise Problem("messages", _("is neither the prompt nor the conversation of “chosen”: leave it out"))
    if chosen == rejected:
        raise Problem("rejected", _("is the same as “chosen”: there is nothing to prefer"))
    digest = _digest(prompt, chosen, rejected)
    # Not by who won: the letters must not tell, and the pair with the other winner is the same comparison.
    chosen_is_a = (chosen < rejected) == (int(digest, 16) % 2 == 0)
    choice = Choice.TIE if record.get("soft_label") in EVEN else Choice.A if chosen_is_a else Choice.B
    rest = {name: value for name, value in record.items() if name not in READ}
    return {
        **rest,
        **{
            letter: models[side]
            for letter, side in zip(LETTERS, SIDES if chosen_is_a else SIDES[::-1], strict=True)
            if side in models
        },
        "id": record["id"] if is_given(record, "id") else f"preference-{digest[:16]}",
        "prompt": prompt,
        "response_a": chosen if chosen_is_a else rejected,
        "response_b": rejected if chosen_is_a else chosen,
        "annotator": record["annotator"] if is_given(record, "annotator") else annotator,
        "choice": str(choice),
    }


def _models(record: Record) -> Record:
    """By side, where the record says it. The names of A and B are refused: those letters are drawn here, and would go
    to the wrong response in half of the records."""
    for letter in LETTERS:
        if is_given(record, letter):
            said = _("A and B are drawn for “chosen” and “rejected”: name “chosen_model” and “rejected_model” instead")
            raise Problem(letter, said)
    for name, other in MODELS.values():
        if is_given(record, name):
            require_alone(record, name, (other,))
    return {side: record[name] for side, names in MODELS.items() for name in names if is_given(record, name)}


def _pair(record: Record) -> tuple[Turns, str, str]:
    """The prompt and the two responses."""
    sides = [_side(record, side) for side in SIDES]
    prompt = turns_of(record, "prompt") if is_given(record, "prompt") else _common(*sides)
    chosen, rejected = (side[len(prompt) :] if _begins(side, prompt) else side for side in sides)
    return prompt, _answer(chosen, "chosen"), _answer(rejected, "rejected")


def _side(record: Record, side: str) -> Turns:
    """A text is a turn of the assistant, a cell of a CSV file may hold a chat as JSON."""
    value = record.get(side)
    if isinstance(value, str) and value.strip():
        if not is_given(record, "prompt"):
            said = _("is missing: beside “chosen” and “rejected” that are texts (TRL's preferences) it is needed")
            raise Problem("prompt", said)
        return [_answered(value)]
    if not isinstance(value, list) or not value:
        raise Problem(side, _("must be a text or a list of chat messages, and not empty"))
    return turns_of(record, side)


def _common(chosen: Turns, rejected: Turns) -> Turns:
    """How both conversations begin; two that are the same differ in their last turn at the latest."""
    n = next(
        (n for n, (one, other) in enumerate(zip(chosen, rejected, strict=False)) if one != other),
        min(len(chosen), len(rejected)) - 1,
    )
    if n == 0 or chosen[n - 1]["role"] != "user":
        said = _("is missing: “chosen” and “rejected” have no common beginning that ends with the user")
        raise Problem("prompt", said)
    return chosen[:n]


def _answered(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


def _begins(side: Turns, prompt: Turns) -> bool:
    return len(side) > len(prompt) and side[: len(prompt)] == prompt


def _answer(turns: Turns, side: str) -> str:
    if len(turns) != 1 or turns[0]["role"] != "assistant":
        raise Problem(side, _("must be one turn of the assistant after the prompt"))
    return turns[0]["content"]


def _digest(prompt: Turns, *texts: str) -> str:
    """Of prompt and texts, in whichever order. ASCII: half a character is named as a fault later, and must not fail."""
    said: list[Any] = [prompt, sorted(texts)]
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()
