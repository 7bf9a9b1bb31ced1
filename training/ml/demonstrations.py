"""Reads demonstrations from Parquet and turns them into tokens; what cannot be trained on is dropped and listed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from training.ml.chat import Messages, completion_ids, require_chat_template
from training.ml.errors import ModelError
from training.ml.forward import context_of
from training.ml.job import Data
from training.ml.parquet_rows import read_rows
from training.ml.unusable import (
    NO_PROMPT,
    NOT_ONE_MESSAGE,
    SAME_ID,
    TOO_LONG,
    Unusable,
    first_reasons,
    usable_prompt,
)
from training.recipes.words import gettext_noop

COLUMNS = ("id", "prompt", "response")


@dataclass(frozen=True)
class Demonstration:
    """One prompt with the response to imitate, whose tokens end with EOS."""

    id: str
    prompt: Messages
    response: str
    prompt_ids: list[int]
    completion_ids: list[int]

    @property
    def length(self) -> int:
        return len(self.prompt_ids) + len(self.completion_ids)

    @property
    def tokens(self) -> int:
        return self.length

    @property
    def units(self) -> int:
        """The loss is a mean over the tokens that are learned."""
        return len(self.completion_ids)


@dataclass(frozen=True)
class DemonstrationData:
    """What a run trains and is measured on, and what was left out of both, each as `Unusable.row` tells it."""

    train: list[Demonstration]
    test: list[Demonstration]
    dropped: list[dict[str, Any]]

    def counts(self) -> dict[str, int]:
        return {"train": len(self.train), "test": len(self.test), "dropped": len(self.dropped)}

    def facts(self) -> dict[str, Any]:
        """The manifest's `data`. Nothing is ever truncated: what is too long is dropped."""
        prompts = len({tuple(one.prompt_ids) for one in self.test})
        sizes = {"train": len(self.train), "test": len(self.test), "test_prompts": prompts}
        return {**sizes, "dropped": self.dropped, "truncated": 0}


def load_demonstrations(
    data: Data | None, tokenizer: PreTrainedTokenizerBase, model: PreTrainedModel, max_length: int
) -> DemonstrationData:
    """Both files of a job, nothing longer than `max_length` or the model's context.

    Raises ModelError: "empty_data" if nothing is left to train on, "bad_data", "no_chat_template".
    """
    if data is None:
        message = gettext_noop("The job names no data to train on.")
        raise ModelError("empty_data", message, gettext_noop("Choose a set of demonstrations for the run."))
    limit = min(max_length, context_of(model) or max_length)
    dropped: list[dict[str, Any]] = []
    train = read_demonstrations(data.train, tokenizer, limit, dropped)
    if not train:
        raise _nothing_left(data.train, dropped)
    return DemonstrationData(train, read_demonstrations(data.test, tokenizer, limit, dropped), dropped)


def read_demonstrations(
    path: Path, tokenizer: PreTrainedTokenizerBase, max_length: int, dropped: list[dict[str, Any]]
) -> list[Demonstration]:
    """All usable demonstrations of a Parquet file; the others are added to `dropped`, `split` is the file's name.

    Raises ModelError: "bad_data" for a file of another shape, "no_chat_template".
    """
    require_chat_template(tokenizer)
    kept: list[Demonstration] = []
    seen: set[str] = set()
    for row in read_rows(path, COLUMNS):
        try:
            if row["id"] in seen:
                raise Unusable(SAME_ID)
            seen.add(row["id"])
            kept.append(_demonstration(row, tokenizer, max_length))
        except Unusable as why:
            dropped.append(why.row(str(row["id"]), path.stem))
    return kept


def _demonstration(row: dict[str, Any], tokenizer: PreTrainedTokenizerBase, max_length: int) -> Demonstration:
    prompt, response = row["prompt"] or [], row["response"] or []
    if not prompt:
        raise Unusable(NO_PROMPT)
    if len(response) != 1:
        raise Unusable(NOT_ONE_MESSAGE, side="response", n=len(response))
    text = response[0]["content"] or ""
    if not text.strip():
        raise Unusable(gettext_noop("the response is empty"))
    ids = usable_prompt(tokenizer, prompt)
    found = Demonstration(str(row["id"]), prompt, text, ids, completion_ids(tokenizer, text))
    if found.length > max_length:
        raise Unusable(TOO_LONG, tokens=found.length, most=max_length)
    return found


def _nothing_left(path: Path, dropped: list[dict[str, Any]]) -> ModelError:
    hint = gettext_noop("Upload other demonstrations, or raise the longest example.")
    if not dropped:
        message = gettext_noop("There is no demonstration in %(path)s: it has no rows.")
        return ModelError("empty_data", message, hint, path=path)
    message = gettext_noop("There is no usable demonstration in %(path)s: all %(n)s were left out: %(reasons)s.")
    return ModelError("empty_data", message, hint, path=path, n=len(dropped), reasons=first_reasons(dropped))
