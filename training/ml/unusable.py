"""Why an example cannot be used: told with each one that is left out, in words that a reader's language has."""

from __future__ import annotations

from typing import Any

from transformers import PreTrainedTokenizerBase

from training.ml.chat import Messages, prompt_ids
from training.ml.errors import ModelError
from training.recipes.words import gettext_noop

NO_PROMPT = gettext_noop("the prompt is empty")
SAME_ID = gettext_noop("an earlier row has the same id")
SAME_TEXTS = gettext_noop("chosen and rejected are the same")
TOO_LONG = gettext_noop("too long: %(tokens)s tokens, at most %(most)s are allowed")
BAD_WEIGHT = gettext_noop("its weight is %(weight)s")
NOT_ONE_MESSAGE = gettext_noop("%(side)s is %(n)s messages instead of one")
NO_TEXT = gettext_noop("the %(side)s response is empty")
NO_RESPONSE = gettext_noop("the response is empty")
NO_LABEL = gettext_noop("it has no label")


class Unusable(ValueError):
    """`template` is marked with gettext_noop, `values` fills it."""

    def __init__(self, template: str, **values: Any) -> None:
        self.template = template
        self.values = {name: value if isinstance(value, int) else str(value) for name, value in values.items()}
        super().__init__(template % values if values else template)

    def row(self, name: str | int, split: str) -> dict[str, Any]:
        """What the manifest's list of dropped examples holds: `why` in English, and what a translator needs."""
        return {"id": name, "why": str(self), "split": split, "template": self.template, "values": self.values}


def usable_prompt(tokenizer: PreTrainedTokenizerBase, messages: Messages) -> list[int]:
    """Its tokens. Raises Unusable if the chat template does not take it, and ModelError("no_chat_template")."""
    try:
        return prompt_ids(tokenizer, messages)
    except ModelError as error:
        if error.code != "bad_prompt":
            raise
        raise Unusable(error.template, **error.values) from error


def first_reasons(dropped: list[dict[str, Any]]) -> str:
    """Some of them, for the error that nothing is left."""
    return "; ".join(sorted({row["why"] for row in dropped})[:3]) or "-"
