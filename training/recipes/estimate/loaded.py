"""Bytes of memory that models hold while they are only asked: as a playground loads them, one answer at a time."""

from __future__ import annotations

from collections.abc import Sequence

from training.recipes.estimate.activations import SINGLE
from training.recipes.estimate.layout import Architecture
from training.recipes.estimate.memory import DRAWING, Memory

# Tokens of a long conversation; a longer one takes more.
CONVERSATION = 2048
SCORED_AT_ONCE = 8  # beginnings of a text (training/ml/scorer.py)


def loaded_memory(policies: Sequence[Architecture], reward: Architecture | None, device: str) -> Memory:
    """The peak: all weights, and the cache and the working memory of whichever takes the most. What adapters add to a
    model is small beside it and left out."""
    itemsize = 2 if device == "gpu" else SINGLE
    caches = [2 * model.layers * model.keys * _tokens(model) * itemsize for model in policies]
    working = [_speaking(model, itemsize) for model in policies]
    if reward is not None:
        working.append(SCORED_AT_ONCE * _reading(reward, itemsize))
    return Memory(
        {
            "weights": sum(model.policy for model in policies) * itemsize,
            "reward": 0 if reward is None else reward.body * itemsize + reward.score_head() * SINGLE,
            "kv_cache": max(caches, default=0),
            "activations": max(working, default=0),
        }
    )


def _tokens(model: Architecture) -> int:
    return min(model.context or CONVERSATION, CONVERSATION)


def _reading(model: Architecture, itemsize: int) -> int:
    """Of a text in one block: states, queries, keys and values, and the three of the feed-forward layer."""
    return _tokens(model) * (4 * model.width + 3 * model.inner) * itemsize


def _speaking(model: Architecture, itemsize: int) -> int:
    """The prompt is read, or one layer of the cache grows by a token, as where it is in no slot, and the logits are
    sorted."""
    growing = 2 * model.keys * _tokens(model) * itemsize + model.vocabulary * DRAWING
    return max(_reading(model, itemsize), growing)
