"""AdamW as every recipe has it: what decays, what learns at a rate of its own, and the rate of each step."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from training.ml.precision import is_paged
from training.ml.quantised import bitsandbytes
from training.recipes.optimizer import OptimizerConfig

FACTOR = "ia3_l"  # in the names of what (IA)³ trains: (out, 1) or (1, in), and so matrices by their dimensions


def adamw(
    model: nn.Module, config: OptimizerConfig, *, apart: Sequence[nn.Parameter] = (), apart_rate: float | None = None
) -> torch.optim.Optimizer:
    """AdamW over the trainable weights; only matrices decay, and of these not (IA)³'s factors. Beside 4-bit weights
    on a GPU its state is paged out to the host's memory where the GPU's runs short. A weight that has a `rate_factor`
    learns so many times as fast as the others, and so do the weights `apart`, if they have a rate of their own."""
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    still = {id(weight) for name, weight in model.named_parameters() if FACTOR in name}
    alike = [weight for weight in weights if not hasattr(weight, "rate_factor")]
    others = {id(weight) for weight in apart} if apart_rate is not None else set()
    groups = _by_decay([weight for weight in alike if id(weight) not in others], still, config.weight_decay)
    if apart_rate is not None:
        factor = apart_rate / config.learning_rate
        own = _by_decay([weight for weight in alike if id(weight) in others], still, config.weight_decay)
        groups += [{**group, "factor": factor} for group in own]
    for weight in weights:
        if hasattr(weight, "rate_factor"):
            groups.append({"params": [weight], "weight_decay": 0.0, "factor": weight.rate_factor})
    groups = [group for group in groups if group["params"]]
    if is_paged(config):
        return bitsandbytes().optim.PagedAdamW(groups, lr=config.learning_rate)
    return torch.optim.AdamW(groups, lr=config.learning_rate, fused=_can_be_fused(weights, config) or None)


def _can_be_fused(weights: Sequence[Tensor], config: OptimizerConfig) -> bool:
    """On a GPU torch's own choice holds temporaries as large as all that is trained, which no estimate counts, and
    starts many kernels. DeepSpeed puts other weights in place of ours, and counts its steps on the host (zero.py)."""
    return getattr(config, "parallel", "ddp") != "deepspeed" and all(weight.is_cuda for weight in weights)


def _by_decay(weights: list[nn.Parameter], still: set[int], decay: float) -> list[dict[str, Any]]:
    """Biases and norms have one dimension. `still` are those that change nothing at 1, toward which nothing pulls;
    where nothing decays, they stand where they always stood, and older checkpoints fit."""
    decays = {id(weight) for weight in weights if weight.dim() > 1 and not (decay and id(weight) in still)}
    return [
        {"params": [weight for weight in weights if id(weight) in decays], "weight_decay": decay},
        {"params": [weight for weight in weights if id(weight) not in decays], "weight_decay": 0.0},
    ]


def rate_factor(number: int, steps: int, config: OptimizerConfig) -> float:
    """The share of the learning rate at step `number` (from 1). A function of the step alone: nothing to save."""
    warmup = min(math.ceil(steps * config.warmup_ratio), steps - 1)
    if number <= warmup:
        return number / (warmup + 1)  # never zero: a short run cannot afford an idle step
    done = (number - 1 - warmup) / (steps - warmup)
    return {"linear": 1 - done, "cosine": (1 + math.cos(math.pi * done)) / 2, "constant": 1.0}[config.schedule]
