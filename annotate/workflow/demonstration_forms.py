"""The forms in which demonstrations come: ours, TRL's two and Alpaca's; each line says by its fields which it is."""

from django.db import models
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from annotate.workflow.uploaded_lines import (
    Problem,
    Record,
    is_given,
    messages_of,
    require_one_prompt,
    response_of,
    turns_of,
)

RESPONSES = ("response", "completion")
# The columns by which a CSV file is known as one of the other forms.
OTHER_COLUMNS = (("prompt", "completion"), ("instruction", "output"))
Turns = list[dict[str, str]]


class Form(models.TextChoices):
    RESPONSE = "prompt_response", gettext_lazy("prompt and response")
    COMPLETION = "prompt_completion", gettext_lazy("prompt and completion (TRL)")
    CONVERSATION = "conversation", gettext_lazy("conversation (TRL)")
    INSTRUCTION = "instruction", gettext_lazy("instruction, input and output (Alpaca)")


def demonstration_of(record: Record) -> tuple[Form, Turns, str]:
    """The form, the prompt and the response of a record. Raises Problem: also for fields of two forms that contradict
    each other, of which none is dropped in silence."""
    if is_given(record, "instruction"):
        return Form.INSTRUCTION, *_instruction(record)
    if is_given(record, "messages") and (turns := turns_of(record, "messages"))[-1]["role"] == "assistant":
        return Form.CONVERSATION, *_conversation(record, turns)
    form = Form.COMPLETION if is_given(record, "completion") else Form.RESPONSE
    return form, messages_of(record), response_of(record, RESPONSES)


def _conversation(record: Record, turns: Turns) -> tuple[Turns, str]:
    """All turns but the last one of the assistant are the prompt."""
    *prompt, last = turns
    if not prompt or prompt[-1]["role"] != "user":
        raise Problem("messages", _("the turn before the assistant's last one must be of the user"))
    require_one_prompt(record, prompt)
    for field in RESPONSES:
        if is_given(record, field) and response_of(record, (field,)) != last["content"]:
            said = _("“messages” ends with another response than “%(field)s”: keep one of them")
            raise Problem(field, said % {"field": field})
    return prompt, last["content"]


def _instruction(record: Record) -> tuple[Turns, str]:
    """The input goes below the instruction, `system` and the pairs of `history` before it, as LLaMA-Factory has it."""
    for field in ("prompt", "messages", *RESPONSES):
        if is_given(record, field):
            said = _("give “%(one)s” or “%(other)s”, not both")
            raise Problem(field, said % {"one": "instruction", "other": field})
    asked = [_text(record, field) for field in ("instruction", "input") if is_given(record, field)]
    turns = [{"role": "system", "content": _text(record, "system")}] if is_given(record, "system") else []
    for said, answered in _history(record):
        turns += [{"role": "user", "content": said}, {"role": "assistant", "content": answered}]
    return [*turns, {"role": "user", "content": "\n".join(asked)}], _text(record, "output")


def _history(record: Record) -> list[tuple[str, str]]:
    pairs = record.get("history") or []
    is_pairs = isinstance(pairs, list) and all(isinstance(pair, list) and len(pair) == 2 for pair in pairs)
    if not is_pairs or not all(isinstance(text, str) and text.strip() for pair in pairs for text in pair):
        raise Problem("history", _("must be a list of pairs: what was asked, and what was answered"))
    return [(said, answered) for said, answered in pairs]


def _text(record: Record, field: str) -> str:
    value = record.get(field)
    if not isinstance(value, str) or not value.strip():
        raise Problem(field, _("must be a text and not empty"))
    return value
