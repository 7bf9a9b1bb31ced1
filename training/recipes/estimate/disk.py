"""Bytes that a run leaves on the disk, and the most that it needs there while it runs."""

from __future__ import annotations

from typing import Any

from training.recipes.adapters import VIRTUAL_TOKENS
from training.recipes.estimate.adapters import Parameters, virtual_tokens
from training.recipes.estimate.layout import Architecture

SINGLE = 4
CHECKPOINT = 3 * SINGLE  # of a trained number: itself and two moments


def disk(model: Architecture, config: Any, counted: Parameters, value: int = 0) -> dict[str, int]:
    """{"product", "checkpoint", "total"}: the saved weights (fp32), a checkpoint, and, while a new checkpoint is
    written, the one before it. Tokenizer, log and samples are a few MB more. Of virtual tokens both what makes them and
    what they are is kept; of PPO's value model, `value` trained numbers, nothing but in checkpoints."""
    product = (counted.base if config.adapter == "full" else counted.trainable) * SINGLE
    if config.adapter in VIRTUAL_TOKENS:
        product += virtual_tokens(model, config) * SINGLE
    checkpoint = (counted.trainable + value) * CHECKPOINT
    return {"product": product, "checkpoint": checkpoint, "total": product + 2 * checkpoint}
