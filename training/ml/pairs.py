"""Reads preference pairs from Parquet and turns them into tokens; what cannot be trained on is dropped and listed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from training.ml.chat import Messages, completion_ids, prompt_ids, require_chat_template
from training.ml.errors import ModelError
from training.ml.job import Data

COLUMNS = ("id", "prompt", "chosen", "rejected", "weight")


@dataclass(frozen=True)
class Pair:
    """One prompt with the chosen and the rejected response; the responses' tokens end with EOS."""

    id: str
    prompt: Messages
    chosen: str
    rejected: str
    prompt_ids: list[int]
    chosen_ids: list[int]
    rejected_ids: list[int]
    weight: float = 1.0
    units: int = 1  # the loss is a mean over pairs

    @property
    def length(self) -> int:
        return len(self.prompt_ids) + max(len(self.chosen_ids), len(self.rejected_ids))

    @property
    def tokens(self) -> int:
        return 2 * len(self.prompt_ids) + len(self.chosen_ids) + len(self.rejected_ids)


@dataclass(frozen=True)
class Pairs:
    """The pairs of one file in its order, and the rows left out, each {"id", "why", "split"}."""

    kept: list[Pair]
    dropped: list[dict[str, str]]


@dataclass(frozen=True)
class PairData:
    """What a run trains and is measured on, and what was left out of both."""

    train: list[Pair]
    test: list[Pair]
    dropped: list[dict[str, str]]

    def counts(self) -> dict[str, int]:
        return {"train": len(self.train), "test": len(self.test), "dropped": len(self.dropped)}

    def facts(self) -> dict[str, Any]:
        """The manifest's `data`. Nothing is ever truncated: what is too long is dropped."""
        return {"train": len(self.train), "test": len(self.test), "dropped": self.dropped, "truncated": 0}


class Unusable(ValueError):
    """Why one row cannot be trained on."""


def load_pairs(
    data: Data | None, tokenizer: PreTrainedTokenizerBase, model: PreTrainedModel, max_length: int
) -> PairData:
    """Both files of a job, no pair longer than `max_length` or the model's context.

    Raises ModelError: "empty_data" if nothing is left to train on, "bad_data", "no_chat_template".
    """
    if data is None:
        raise ModelError("empty_data", "The job names no data to train on.", "Choose a snapshot for the run.")
    limit = min(max_length, getattr(model.config, "max_position_embeddings", None) or max_length)
    train, test = read_pairs(data.train, tokenizer, limit), read_pairs(data.test, tokenizer, limit)
    require_pairs(train, data.train)
    return PairData(train.kept, test.kept, train.dropped + test.dropped)


def read_pairs(path: Path, tokenizer: PreTrainedTokenizerBase, max_length: int) -> Pairs:
    """All usable pairs of a Parquet file (one row may be bad, the rest is used); `split` is the file's name.

    Raises ModelError: "bad_data" for a file of another shape, "no_chat_template".
    """
    require_chat_template(tokenizer)
    kept: list[Pair] = []
    dropped: list[dict[str, str]] = []
    seen: set[str] = set()
    for row in _rows(path):
        try:
            if row["id"] in seen:
                raise Unusable("an earlier row has the same id")
            seen.add(row["id"])
            kept.append(_pair(row, tokenizer, max_length))
        except Unusable as why:
            dropped.append({"id": str(row["id"]), "why": str(why), "split": path.stem})
    return Pairs(kept, dropped)


def require_pairs(pairs: Pairs, path: Path) -> None:
    """Raises ModelError("empty_data") if there is nothing to train on, with the reasons counted."""
    if pairs.kept:
        return
    reasons = sorted({row["why"] for row in pairs.dropped})
    why = f"all {len(pairs.dropped)} were left out: {'; '.join(reasons[:3])}" if reasons else "it has no rows"
    raise ModelError(
        "empty_data",
        f"There is no usable pair in {path}: {why}.",
        "Collect more judgments, freeze a new snapshot, or raise the longest example.",
    )


def _rows(path: Path) -> list[dict[str, Any]]:
    try:
        table = pyarrow.parquet.read_table(path)
    except (OSError, pyarrow.ArrowException) as error:
        raise _bad_data(f"{path} cannot be read as Parquet: {error}") from error
    missing = [name for name in COLUMNS if name not in table.column_names]
    if missing:
        raise _bad_data(f"{path} has no column {', '.join(missing)}; it has {', '.join(table.column_names) or 'none'}.")
    return table.select(list(COLUMNS)).to_pylist()


def _pair(row: dict[str, Any], tokenizer: PreTrainedTokenizerBase, max_length: int) -> Pair:
    prompt, chosen, rejected = row["prompt"] or [], _response(row, "chosen"), _response(row, "rejected")
    if not prompt:
        raise Unusable("the prompt is empty")
    if chosen == rejected:
        raise Unusable("chosen and rejected are the same")
    weight = row["weight"]
    if weight is None or not math.isfinite(weight) or weight <= 0:
        raise Unusable(f"its weight is {weight}")
    try:
        ids = prompt_ids(tokenizer, prompt)
    except ModelError as error:
        if error.code != "bad_prompt":
            raise
        raise Unusable(error.message) from error
    pair = Pair(
        id=str(row["id"]),
        prompt=prompt,
        chosen=chosen,
        rejected=rejected,
        prompt_ids=ids,
        chosen_ids=completion_ids(tokenizer, chosen),
        rejected_ids=completion_ids(tokenizer, rejected),
        weight=float(weight),
    )
    if pair.length > max_length:
        raise Unusable(f"too long: {pair.length} tokens, at most {max_length} are allowed")
    return pair


def _response(row: dict[str, Any], side: str) -> str:
    messages = row[side] or []
    if len(messages) != 1:
        raise Unusable(f"{side} is {len(messages)} messages instead of one")
    text = messages[0]["content"] or ""
    if not text.strip():
        raise Unusable(f"the {side} response is empty")
    return text


def _bad_data(message: str) -> ModelError:
    return ModelError("bad_data", message, "Freeze the snapshot again.")
