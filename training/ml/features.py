"""What a frozen body makes of texts, kept per model and text, and a score head that is trained on that alone."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from training.ml.loop import Objective, Outcome
from training.ml.progress import Progress
from training.ml.reference import text_key
from training.ml.shared_prompts import Text, features_of, in_batches
from training.ml.vector_store import VectorStore
from training.recipes.reward import RewardConfig

WIDEST = 16  # texts read at once, at least: nothing is kept for a backward pass


class Features:
    """The features of every text of a run. `facts` says how many were computed for it and how many were there, and how
    many seconds that took."""

    def __init__(self, cache: Path, key: str) -> None:
        self._store = VectorStore(cache / "features" / key, "features")
        self._places: dict[tuple[int, ...], int] = {}
        self._table = torch.empty(0)
        self.facts: dict[str, float] = {"computed": 0, "reused": 0, "seconds": 0.0}

    def prepare(
        self, model: PreTrainedModel, pad_id: int, texts: Sequence[Text], batch_size: int, progress: Progress
    ) -> None:
        """Have all of `texts`: from the store, or computed now, each prompt once."""
        began = time.monotonic()

        def tell(told: dict[str, Any]) -> None:
            progress.status("evaluating", what="features", features=told.pop("counts"), **told)

        wanted = {text_key(*text): text for text in texts}
        size = max(batch_size, WIDEST)
        known, counts = self._store.fill(
            wanted,
            lambda batch: list(features_of(model, batch, pad_id)),
            lambda missing: in_batches(missing, size),
            tell,
        )
        self._places = {tuple(prompt + response): place for place, (prompt, response) in enumerate(wanted.values())}
        self._table = torch.stack([known[key] for key in wanted]).to(model.device)
        self.facts = {**counts, "seconds": round(time.monotonic() - began, 1)}

    def of(self, sequences: Sequence[list[int]]) -> Tensor:
        """[sequences, width] in float32; all of them must have been prepared."""
        places = [self._places[tuple(ids)] for ids in sequences]
        return self._table[torch.tensor(places, device=self._table.device)]


class StandardisedHead(nn.Module):
    """The score head of a reward model on features of which each is divided by its deviation over the training texts:
    they differ by orders of magnitude, and one step size would fit none. A mean need not be taken off: it falls out of
    every difference of scores."""

    def __init__(self, score: nn.Linear, texts: Tensor) -> None:
        super().__init__()
        spread = texts.std(dim=0, unbiased=False)
        self.register_buffer("spread", torch.where(spread > 0, spread, 1.0))
        self.weight = nn.Parameter(score.weight.detach() * self.spread)

    def forward(self, texts: Tensor) -> Tensor:
        """[texts, width] -> [texts, members]."""
        return (texts / self.spread) @ self.weight.T

    @torch.no_grad()
    def fold_into(self, score: nn.Linear) -> None:
        """The same function as a plain head."""
        score.weight.copy_(self.weight / self.spread)


def penalised(objective: Objective, head: StandardisedHead, l2: float) -> Objective:
    """With l2 / 2 times the squared weights, the mean over the members, added to the mean loss."""

    def with_penalty(batch: Sequence) -> Outcome:
        found = objective(batch)
        return Outcome(found.losses + l2 / 2 * head.weight.square().sum() / len(head.weight), found.metrics)

    return with_penalty


def for_head(config: RewardConfig) -> RewardConfig:
    """The settings as the training loop takes them."""
    steps = {"batch_size": config.head_batch_size, "gradient_accumulation": 1}
    return replace(config, epochs=config.head_epochs, learning_rate=config.head_learning_rate, **steps)
