"""Reads the distinct prompts of a snapshot; what leaves no room for a response is dropped and listed."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from training.ml.chat import Messages, require_chat_template
from training.ml.errors import ModelError
from training.ml.forward import context_of
from training.ml.job import Data
from training.ml.unusable import NO_PROMPT, Unusable, first_reasons, usable_prompt
from training.recipes.groups import GroupConfig
from training.recipes.ppo import PPOConfig
from training.recipes.words import gettext_noop

Refusal = Callable[[Messages], None]  # raises Unusable for a prompt that cannot be used

NO_ROOM = gettext_noop("too long: %(tokens)s tokens of prompt and %(room)s of response, at most %(most)s together")


@dataclass(frozen=True)
class AskedPrompt:
    """A prompt as tokens, up to where the response begins; `id` is that of the first row that has it."""

    id: str
    messages: Messages
    ids: list[int]

    @property
    def length(self) -> int:
        return len(self.ids)

    @property
    def tokens(self) -> int:
        return len(self.ids)

    @property
    def units(self) -> int:
        return 1


@dataclass(frozen=True)
class PromptData:
    """What a run is trained and measured on, and what was left out of both, each as `Unusable.row` tells it."""

    train: list[AskedPrompt]
    test: list[AskedPrompt]
    dropped: list[dict[str, Any]]

    def counts(self) -> dict[str, int]:
        return {"train": len(self.train), "test": len(self.test), "dropped": len(self.dropped)}

    def facts(self, truncated: int) -> dict[str, Any]:
        """The manifest's `data`; `truncated`: responses of which the reward model could not read the end."""
        return {"train": len(self.train), "test": len(self.test), "dropped": self.dropped, "truncated": truncated}


def load_prompts(
    data: Data | None,
    tokenizer: PreTrainedTokenizerBase,
    model: PreTrainedModel,
    config: PPOConfig | GroupConfig,
    *,
    refused: Refusal | None = None,
) -> PromptData:
    """Both splits; every prompt leaves room for the longest response within `max_length` and the model's context.

    A prompt of the train split is not measured on, whatever the test split says.
    Raises ModelError: "empty_data" if nothing is left to train on, "bad_data", "no_chat_template".
    """
    if data is None:
        message = gettext_noop("The job names no data to train on.")
        raise ModelError("empty_data", message, gettext_noop("Choose a snapshot for the run."))
    require_chat_template(tokenizer)
    limit = min(config.max_length, context_of(model) or config.max_length)
    reader = _Reader(tokenizer, limit, config.max_new_tokens, refused)
    train, test = reader.read(data.train), reader.read(data.test)
    if not train:
        raise ModelError(
            "empty_data",
            gettext_noop("There is no usable prompt in %(path)s: %(why)s."),
            gettext_noop("Choose a snapshot with more prompts, shorten the responses, or raise the longest example."),
            path=data.train,
            why=first_reasons(reader.dropped),
        )
    return PromptData(train, test, reader.dropped)


class _Reader:
    def __init__(self, tokenizer: PreTrainedTokenizerBase, limit: int, room: int, refused: Refusal | None) -> None:
        self.tokenizer, self.limit, self.room, self.refused = tokenizer, limit, room, refused
        self.seen: set[str] = set()
        self.dropped: list[dict[str, Any]] = []

    def read(self, path: Path) -> list[AskedPrompt]:
        kept = []
        for row in _rows(path):
            key = json.dumps(row["prompt"], sort_keys=True)
            if key in self.seen:
                continue
            self.seen.add(key)
            try:
                kept.append(self._asked(str(row["id"]), row["prompt"] or []))
            except Unusable as why:
                self.dropped.append(why.row(str(row["id"]), path.stem))
        return kept

    def _asked(self, name: str, messages: Messages) -> AskedPrompt:
        if not messages:
            raise Unusable(NO_PROMPT)
        ids = usable_prompt(self.tokenizer, messages)
        if len(ids) + self.room > self.limit:
            raise Unusable(NO_ROOM, tokens=len(ids), room=self.room, most=self.limit)
        if self.refused:
            self.refused(messages)
        return AskedPrompt(name, messages, ids)


def _rows(path: Path) -> list[dict[str, Any]]:
    try:
        return pyarrow.parquet.read_table(path, columns=["id", "prompt"]).to_pylist()
    except (OSError, pyarrow.ArrowException) as error:
        raise ModelError(
            "bad_data",
            gettext_noop("The prompts in %(path)s cannot be read: %(why)s"),
            gettext_noop("Freeze the snapshot again."),
            path=path,
            why=error,
        ) from error
