"""Reads single responses, each desirable or not, for losses that need no partner; pairs are taken apart into them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from training.ml.chat import Messages, completion_ids, require_chat_template
from training.ml.errors import ModelError
from training.ml.forward import context_of
from training.ml.job import Data
from training.ml.parquet_rows import read_rows
from training.ml.unusable import (
    BAD_WEIGHT,
    NO_LABEL,
    NO_PROMPT,
    NO_RESPONSE,
    NO_TEXT,
    NOT_ONE_MESSAGE,
    SAME_ID,
    SAME_TEXTS,
    TOO_LONG,
    Unusable,
    first_reasons,
    usable_prompt,
)
from training.recipes.words import gettext_noop

COLUMNS = ("id", "prompt", "chosen", "rejected", "weight")
UNPAIRED = ("id", "prompt", "completion", "label")


@dataclass(frozen=True)
class Vote:
    """One response to a prompt, its tokens with EOS; of a pair it is `desirable` if it was the chosen one."""

    id: str
    prompt_ids: list[int]
    completion_ids: list[int]
    desirable: bool
    weight: float = 1.0
    units: int = 1  # the loss is a mean over votes
    prompt: Messages = field(default_factory=list)

    @property
    def pair(self) -> str:
        """The id of the pair that it was one side of."""
        return self.id.rpartition("/")[0]

    @property
    def length(self) -> int:
        return len(self.prompt_ids) + len(self.completion_ids)

    @property
    def tokens(self) -> int:
        return self.length


@dataclass(frozen=True)
class VoteData:
    """What a run trains and is measured on, what was left out of both, and the longest sequence allowed in it."""

    train: list[Vote]
    test: list[Vote]
    dropped: list[dict[str, Any]]
    limit: int

    def counts(self) -> dict[str, int]:
        return {"train": len(self.train), "test": len(self.test), "dropped": len(self.dropped)}

    def facts(self) -> dict[str, Any]:
        """The manifest's `data`. Nothing is ever truncated: what is too long is dropped."""
        desirable = sum(vote.desirable for vote in self.train)
        sides = {"desirable": desirable, "undesirable": len(self.train) - desirable}
        prompts = len({tuple(vote.prompt_ids) for vote in self.test})
        sizes = {"train": len(self.train), "test": len(self.test), "test_prompts": prompts}
        return {**sizes, **sides, "dropped": self.dropped, "truncated": 0}


def load_votes(
    data: Data | None, tokenizer: PreTrainedTokenizerBase, model: PreTrainedModel, max_length: int
) -> VoteData:
    """The responses of both files of a job, none longer than `max_length` or the model's context with its prompt.

    Raises ModelError: "empty_data" if nothing is left to train on, "bad_data", "no_chat_template".
    """
    if data is None:
        message = gettext_noop("The job names no data to train on.")
        raise ModelError("empty_data", message, gettext_noop("Choose a snapshot or a set of feedback for the run."))
    limit = min(max_length, context_of(model) or max_length)
    dropped: list[dict[str, Any]] = []
    read = read_unpaired if data.unpaired else read_votes
    train = read(data.train, tokenizer, limit, dropped)
    if not train:
        message = gettext_noop("There is no usable response in %(path)s. Why they were left out: %(reasons)s.")
        hint = gettext_noop("Collect more judgments or votes, or raise the longest example.")
        raise ModelError("empty_data", message, hint, path=data.train, reasons=first_reasons(dropped))
    return VoteData(train, read(data.test, tokenizer, limit, dropped), dropped, limit)


def read_votes(
    path: Path, tokenizer: PreTrainedTokenizerBase, max_length: int, dropped: list[dict[str, Any]]
) -> list[Vote]:
    """Both responses of every pair, each on its own: where one cannot be used, the other one still is.

    What is left out is added to `dropped`. Raises ModelError: "bad_data", "no_chat_template".
    """
    require_chat_template(tokenizer)
    kept: list[Vote] = []
    seen: set[str] = set()
    for row in read_rows(path, COLUMNS):
        for side in ("chosen", "rejected"):
            name = f"{row['id']}/{side}"
            try:
                if name in seen:
                    raise Unusable(SAME_ID)
                seen.add(name)
                kept.append(_vote(row, side, name, tokenizer, max_length))
            except Unusable as why:
                dropped.append(why.row(name, path.stem))
    return kept


def read_unpaired(
    path: Path, tokenizer: PreTrainedTokenizerBase, max_length: int, dropped: list[dict[str, Any]]
) -> list[Vote]:
    """Single votes, of which several may be on one response. What is left out is added to `dropped`.

    Raises ModelError: "bad_data", "no_chat_template".
    """
    require_chat_template(tokenizer)
    kept: list[Vote] = []
    seen: set[str] = set()
    for row in read_rows(path, UNPAIRED):
        name = str(row["id"])
        try:
            if name in seen:
                raise Unusable(SAME_ID)
            seen.add(name)
            kept.append(_unpaired(row, name, tokenizer, max_length))
        except Unusable as why:
            dropped.append(why.row(name, path.stem))
    return kept


def _vote(row: dict[str, Any], side: str, name: str, tokenizer: PreTrainedTokenizerBase, max_length: int) -> Vote:
    messages, weight = row[side] or [], row["weight"]
    if not row["prompt"]:
        raise Unusable(NO_PROMPT)
    if len(messages) != 1:
        raise Unusable(NOT_ONE_MESSAGE, side=side, n=len(messages))
    if not (messages[0]["content"] or "").strip():
        raise Unusable(NO_TEXT, side=side)
    if row["chosen"] == row["rejected"]:
        raise Unusable(SAME_TEXTS)
    if weight is None or not math.isfinite(weight) or weight <= 0:
        raise Unusable(BAD_WEIGHT, weight=weight)
    ids = usable_prompt(tokenizer, row["prompt"])
    vote = Vote(name, ids, completion_ids(tokenizer, messages[0]["content"]), side == "chosen", float(weight))
    if vote.length > max_length:
        raise Unusable(TOO_LONG, tokens=vote.length, most=max_length)
    return vote


def _unpaired(row: dict[str, Any], name: str, tokenizer: PreTrainedTokenizerBase, max_length: int) -> Vote:
    messages, prompt = row["completion"] or [], row["prompt"]
    if not prompt:
        raise Unusable(NO_PROMPT)
    if len(messages) != 1:
        raise Unusable(NOT_ONE_MESSAGE, side="completion", n=len(messages))
    if not (messages[0]["content"] or "").strip():
        raise Unusable(NO_RESPONSE)
    if row["label"] is None:
        raise Unusable(NO_LABEL)
    ids = usable_prompt(tokenizer, prompt)
    vote = Vote(name, ids, completion_ids(tokenizer, messages[0]["content"]), row["label"], prompt=prompt)
    if vote.length > max_length:
        raise Unusable(TOO_LONG, tokens=vote.length, most=max_length)
    return vote
