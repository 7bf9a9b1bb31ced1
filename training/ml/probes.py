"""What a job's policy is probed with, as tokens: questions with choices, and texts that no run learns from."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn
from transformers import PreTrainedTokenizerBase

from training.ml.chat import completion_ids, prompt_ids
from training.ml.errors import ModelError
from training.ml.forward import context_of
from training.ml.intervals import Clusters, clusters_of
from training.recipes.adapters import VIRTUAL_TOKENS, AdapterConfig
from training.recipes.words import gettext_noop

MOST_TOKENS = 2048  # of one text: of some families the logits of all its tokens are held at once
Text = tuple[list[int], list[int]]  # tokens of what stands before, and of what is scored


@dataclass(frozen=True)
class Question:
    """`choices` stand behind the same prompt; `sizes` are their lengths in bytes."""

    choices: list[Text]
    sizes: list[int]
    answer: int
    tag: str


@dataclass(frozen=True)
class Probes:
    """`left_out`: how many did not fit into the model, or were refused by its chat template."""

    name: str
    hash: str
    questions: list[Question]
    left_out: int


@dataclass(frozen=True)
class Documents:
    """`clusters`: the prompt that each text answers, where an interval goes by them."""

    name: str
    hash: str
    texts: list[Text]
    left_out: int
    clusters: Clusters = None


@dataclass(frozen=True)
class Material:
    probes: list[Probes]
    documents: list[Documents]

    @property
    def choices(self) -> list[Text]:
        return [choice for one in self.probes for question in one.questions for choice in question.choices]

    @property
    def texts(self) -> list[Text]:
        return [text for one in self.documents for text in one.texts]


def read_material(path: Path | None, tokenizer: PreTrainedTokenizerBase, room: int) -> Material:
    """Everything in the file that is at most `room` tokens long; nothing is ever cut. Raises ModelError("bad_job")."""
    if path is None:
        return Material([], [])
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        return Material(
            [_probes(one, tokenizer, room) for one in raw["probes"]],
            [_documents(one, tokenizer, room) for one in raw["documents"]],
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(
            "bad_job",
            gettext_noop("The probes in %(path)s cannot be read: %(error)s."),
            gettext_noop("Start the run again from its page, which writes the job anew."),
            path=path,
            error=error,
        ) from error


def room_of(model: nn.Module, config: AdapterConfig) -> int:
    """Tokens that a text may have: virtual tokens take room in the context."""
    taken = config.virtual_tokens if config.adapter in VIRTUAL_TOKENS else 0
    return min((context_of(model) or MOST_TOKENS) - taken, MOST_TOKENS)


def _probes(raw: dict[str, Any], tokenizer: PreTrainedTokenizerBase, room: int) -> Probes:
    found = [_question(row, tokenizer, room) for row in raw["rows"]]
    kept = [question for question in found if question is not None]
    return Probes(raw["name"], raw["hash"], kept, len(found) - len(kept))


def _question(row: dict[str, Any], tokenizer: PreTrainedTokenizerBase, room: int) -> Question | None:
    """A choice is scored without the EOS: how readily a model ends is no part of the answer."""
    prompt = _asked(tokenizer, row["messages"])
    if prompt is None:
        return None
    choices = [(prompt, completion_ids(tokenizer, choice)[:-1]) for choice in row["choices"]]
    if any(not 0 < len(choice) <= room - len(prompt) for _, choice in choices):
        return None
    return Question(choices, [len(choice.encode()) for choice in row["choices"]], row["answer"], row.get("tag", ""))


def _documents(raw: dict[str, Any], tokenizer: PreTrainedTokenizerBase, room: int) -> Documents:
    found = [_text(row, tokenizer) for row in raw["rows"]]
    kept = [text for text in found if text and text[1] and len(text[0]) + len(text[1]) <= room]
    answers = all(row.get("messages") for row in raw["rows"])  # what stands before other texts is no prompt of theirs
    clusters = clusters_of([prompt for prompt, _text in kept]) if answers else None
    return Documents(raw["name"], raw["hash"], kept, len(found) - len(kept), clusters)


def _text(row: dict[str, Any], tokenizer: PreTrainedTokenizerBase) -> Text | None:
    """The response to a prompt, its EOS included; a text that answers nobody stands behind BOS, or, where the tokenizer
    has none, behind its own first token."""
    if row.get("messages"):
        prompt = _asked(tokenizer, row["messages"])
        return None if prompt is None else (prompt, completion_ids(tokenizer, row["text"]))
    ids = completion_ids(tokenizer, row["text"])[:-1]
    return (ids[:1], ids[1:]) if tokenizer.bos_token_id is None else ([tokenizer.bos_token_id], ids)


def _asked(tokenizer: PreTrainedTokenizerBase, messages: list[dict[str, Any]]) -> list[int] | None:
    """None where the chat template refuses it."""
    try:
        return prompt_ids(tokenizer, messages)
    except ModelError as error:
        if error.code != "bad_prompt":
            raise
        return None
