"""The forms in which demonstrations come: ours, TRL's two, Alpaca's and ShareGPT's; each line says by its fields which
it is."""

from django.db import models
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from annotate.workflow.foreign_forms import (
    instruction_of,
    require_alone,
    require_answered,
    text_of,
    with_messages,
    with_turns,
)
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
    SHAREGPT = "sharegpt", gettext_lazy("conversations (ShareGPT)")


def demonstration_of(record: Record) -> tuple[Form, Turns, str]:
    """The form, the prompt and the response of a record. Raises Problem: also for fields of two forms that contradict
    each other, of which none is dropped in silence."""
    record = with_turns(record, RESPONSES)
    if is_given(record, "instruction"):
        return Form.INSTRUCTION, *_instruction(record)
    if is_given(record, "conversations"):
        return Form.SHAREGPT, *_sharegpt(with_messages(record))
    if is_given(record, "messages") and (turns := turns_of(record, "messages"))[-1]["role"] == "assistant":
        return Form.CONVERSATION, *_conversation(record, turns)
    form = Form.COMPLETION if is_given(record, "completion") else Form.RESPONSE
    return form, messages_of(record), response_of(record, RESPONSES)


def _conversation(record: Record, turns: Turns, named: str = "messages") -> tuple[Turns, str]:
    """All turns but the last one of the assistant are the prompt."""
    *prompt, last = turns
    if not prompt or prompt[-1]["role"] != "user":
        raise Problem(named, _("the turn before the assistant's last one must be of the user"))
    require_one_prompt(record, prompt)
    for field in RESPONSES:
        if is_given(record, field) and response_of(record, (field,)) != last["content"]:
            said = _("“%(named)s” ends with another response than “%(field)s”: keep one of them")
            raise Problem(field, said % {"named": named, "field": field})
    return prompt, last["content"]


def _sharegpt(record: Record) -> tuple[Turns, str]:
    require_answered(record["messages"][-1])
    return _conversation(record, record["messages"], "conversations")


def _instruction(record: Record) -> tuple[Turns, str]:
    require_alone(record, "instruction", ("prompt", "messages", "conversations", *RESPONSES))
    return instruction_of(record), text_of(record, "output")
