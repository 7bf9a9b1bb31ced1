"""Reads preference pairs from Parquet and turns them into tokens; what cannot be trained on is dropped and listed."""

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
    NO_PROMPT,
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

COLUMNS = ("id", "prompt", "chosen", "rejected", "weight", "soft_label")
VOTES = ("votes_chosen", "votes_tie", "votes_rejected")
# Snapshots frozen by an earlier version do not have them.
OPTIONAL = (*VOTES, "annotators", "tags", "language", "strength", "adjudicated")
ROUNDING = 1e-6


@dataclass(frozen=True)
class Pair:
    """One prompt with the chosen and the rejected response; the responses' tokens end with EOS. Of a `tie` they are
    the responses A and B, neither of which won."""

    id: str
    prompt: Messages
    chosen: str
    rejected: str
    prompt_ids: list[int]
    chosen_ids: list[int]
    rejected_ids: list[int]
    weight: float = 1.0
    soft_label: float = 1.0  # the probability that the chosen response is the better one, from the votes
    units: int = 1  # the loss is a mean over pairs
    votes: tuple[int, int, int] | None = None  # for the chosen response, for neither, for the rejected one
    annotators: tuple[str, ...] = ()  # pseudonyms
    tags: tuple[str, ...] = ()
    language: str = ""
    strength: float | None = None  # how much better the chosen response is, 0 to 1; None: as far as the votes lean
    tie: bool = False
    adjudicated: bool = False  # a reviewer's final word made the label, whatever the votes say

    @property
    def length(self) -> int:
        return len(self.prompt_ids) + max(len(self.chosen_ids), len(self.rejected_ids))

    @property
    def tokens(self) -> int:
        return 2 * len(self.prompt_ids) + len(self.chosen_ids) + len(self.rejected_ids)

    @property
    def rows(self) -> int:
        """Sequences that it puts into a batch."""
        return len(self.sequences)

    @property
    def degree(self) -> float:
        """The preference's strength, 0 to 1: as it was given, which is by the degrees that annotators said if they were
        asked, or else how far the votes are from even, |2p - 1|."""
        return abs(2 * self.soft_label - 1) if self.strength is None else self.strength

    @property
    def labelled_by_share(self) -> bool:
        """Whether the label is what its votes come to where each counts the same. An aggregation that learns how far
        people can be relied on may say something else, even the opposite, and so may a final word."""
        if self.votes is None or self.adjudicated:
            return False
        chosen, tie, rejected = self.votes
        if self.tie:  # it is even by definition, however the other votes lean
            return tie > max(chosen, rejected)
        return math.isclose((chosen + tie / 2) / sum(self.votes), self.soft_label, abs_tol=ROUNDING)

    @property
    def sequences(self) -> tuple[list[int], list[int]]:
        """Prompt and chosen response, prompt and rejected response."""
        return self.prompt_ids + self.chosen_ids, self.prompt_ids + self.rejected_ids


@dataclass(frozen=True)
class Pairs:
    """The pairs of one file in its order, and the rows left out, each as `Unusable.row` tells it."""

    kept: list[Pair]
    dropped: list[dict[str, Any]]


@dataclass(frozen=True)
class PairData:
    """What a run trains and is measured on, and what was left out of both; `ties` are for training as well.
    `test_annotators` are for measuring as well: None where nobody is held out, or nobody asked for them."""

    train: list[Pair]
    test: list[Pair]
    dropped: list[dict[str, Any]]
    ties: list[Pair] = field(default_factory=list)
    test_annotators: list[Pair] | None = None

    def counts(self) -> dict[str, int]:
        return {"train": len(self.train), "test": len(self.test), "dropped": len(self.dropped)}

    def facts(self) -> dict[str, Any]:
        """The manifest's `data`. Nothing is ever truncated: what is too long is dropped."""
        prompts = len({tuple(pair.prompt_ids) for pair in self.test})
        sizes = {"train": len(self.train), "test": len(self.test), "test_prompts": prompts}
        besides = {} if self.test_annotators is None else {"test_annotators": len(self.test_annotators)}
        return {**sizes, **besides, "dropped": self.dropped, "truncated": 0}


def load_pairs(
    data: Data | None,
    tokenizer: PreTrainedTokenizerBase,
    model: PreTrainedModel,
    max_length: int,
    *,
    with_ties: bool = False,
    with_test_annotators: bool = False,
) -> PairData:
    """Both files of a job, no pair longer than `max_length` or the model's context; ties, and what annotators who are
    held out said, only where they are asked for.

    Raises ModelError: "empty_data" if nothing is left to train on, "bad_data", "no_chat_template".
    """
    if data is None:
        message = gettext_noop("The job names no data to train on.")
        raise ModelError("empty_data", message, gettext_noop("Choose a snapshot for the run."))
    limit = min(max_length, context_of(model) or max_length)
    train, test = read_pairs(data.train, tokenizer, limit), read_pairs(data.test, tokenizer, limit)
    require_pairs(train, data.train)
    ties = Pairs([], [])
    if with_ties and data.ties_train is not None:
        ties = read_pairs(data.ties_train, tokenizer, limit, tie=True)
    apart = None
    if with_test_annotators and data.test_annotators is not None:
        apart = read_pairs(data.test_annotators, tokenizer, limit)
    dropped = train.dropped + ties.dropped + test.dropped + (apart.dropped if apart else [])
    return PairData(train.kept, test.kept, dropped, ties.kept, apart.kept if apart else None)


def read_pairs(path: Path, tokenizer: PreTrainedTokenizerBase, max_length: int, *, tie: bool = False) -> Pairs:
    """All usable pairs of a Parquet file (one row may be bad, the rest is used); `split` is the file's name.

    Raises ModelError: "bad_data" for a file of another shape, "no_chat_template".
    """
    require_chat_template(tokenizer)
    kept: list[Pair] = []
    dropped: list[dict[str, Any]] = []
    seen: set[str] = set()
    for row in read_rows(path, COLUMNS, OPTIONAL):
        try:
            if row["id"] in seen:
                raise Unusable(SAME_ID)
            seen.add(row["id"])
            kept.append(_pair(row, tokenizer, max_length, tie))
        except Unusable as why:
            dropped.append(why.row(str(row["id"]), path.stem))
    return Pairs(kept, dropped)


def require_pairs(pairs: Pairs, path: Path) -> None:
    """Raises ModelError("empty_data") if there is nothing to train on, with the reasons counted."""
    if pairs.kept:
        return
    hint = gettext_noop("Collect more judgments, freeze a new snapshot, or raise the longest example.")
    if not pairs.dropped:
        message = gettext_noop("There is no usable pair in %(path)s: it has no rows.")
        raise ModelError("empty_data", message, hint, path=path)
    message = gettext_noop("There is no usable pair in %(path)s: all %(n)s were left out: %(reasons)s.")
    raise ModelError("empty_data", message, hint, path=path, n=len(pairs.dropped), reasons=first_reasons(pairs.dropped))


def _pair(row: dict[str, Any], tokenizer: PreTrainedTokenizerBase, max_length: int, tie: bool) -> Pair:
    prompt, chosen, rejected = row["prompt"] or [], _response(row, "chosen"), _response(row, "rejected")
    if not prompt:
        raise Unusable(NO_PROMPT)
    if chosen == rejected:
        raise Unusable(SAME_TEXTS)
    weight = row["weight"]
    if weight is None or not math.isfinite(weight) or weight <= 0:
        raise Unusable(BAD_WEIGHT, weight=weight)
    if row["soft_label"] is None or not 0 <= row["soft_label"] <= 1:
        raise Unusable(gettext_noop("its soft label is %(label)s"), label=row["soft_label"])
    pair = Pair(
        id=str(row["id"]),
        prompt=prompt,
        chosen=chosen,
        rejected=rejected,
        prompt_ids=usable_prompt(tokenizer, prompt),
        chosen_ids=completion_ids(tokenizer, chosen),
        rejected_ids=completion_ids(tokenizer, rejected),
        weight=float(weight),
        soft_label=float(row["soft_label"]),
        tie=tie,
        **_known_besides(row),
    )
    if pair.length > max_length:
        raise Unusable(TOO_LONG, tokens=pair.length, most=max_length)
    return pair


def _known_besides(row: dict[str, Any]) -> dict[str, Any]:
    """What the optional columns say; the field's default where there is no column or no value."""
    votes, strength = tuple(row.get(name) for name in VOTES), row.get("strength")
    adjudicated = bool(row.get("adjudicated"))
    if None in votes or (adjudicated and not any(votes)):
        votes = None
    elif min(votes) < 0 or not any(votes):
        raise Unusable(gettext_noop("its votes are %(votes)s"), votes=", ".join(map(str, votes)))
    if strength is not None and not 0 <= strength <= 1:
        raise Unusable(gettext_noop("its strength is %(strength)s"), strength=strength)
    return {
        "votes": votes,
        "annotators": tuple(row.get("annotators") or ()),
        "tags": tuple(row.get("tags") or ()),
        "language": row.get("language") or "",
        "strength": strength,
        "adjudicated": adjudicated,
    }


def _response(row: dict[str, Any], side: str) -> str:
    messages = row[side] or []
    if len(messages) != 1:
        raise Unusable(NOT_ONE_MESSAGE, side=side, n=len(messages))
    text = messages[0]["content"] or ""
    if not text.strip():
        raise Unusable(NO_TEXT, side=side)
    return text
