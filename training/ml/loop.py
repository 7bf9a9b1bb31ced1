"""The training loop: AdamW over length-sorted batches, with checkpoints that a resumed run continues from exactly."""

from __future__ import annotations

import hashlib
import json
import math
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from training.ml import cancel
from training.ml.checkpoint import Position, load_checkpoint, save_checkpoint
from training.ml.errors import ModelError
from training.ml.progress import Progress
from training.recipes.optimizer import OptimizerConfig


class Item(Protocol):
    """An example. `length` is its longest sequence, `tokens` all it puts through the model, without padding;
    `units` is what it counts in the mean of the loss: 1 for a pair, the tokens learned from for a demonstration."""

    id: str
    length: int
    tokens: int
    units: int


@dataclass(frozen=True)
class Outcome:
    """What an objective says about a batch: a loss per item (summed over its units) and metrics per item."""

    losses: Tensor
    metrics: dict[str, Tensor] = field(default_factory=dict)


Objective = Callable[[Sequence[Any]], Outcome]
Step = list[list[int]]  # batches of positions in the data; their gradients are added up


def train(
    model: nn.Module,
    items: Sequence[Item],
    objective: Objective,
    config: OptimizerConfig,
    *,
    seed: int,
    directory: Path,
    progress: Progress,
) -> Position:
    """Train the parameters that require a gradient, from the last checkpoint in `directory` if there is one.

    Raises Cancelled after SIGTERM, with a checkpoint written, and ModelError("nan_loss"), the last checkpoint kept.
    """
    steps = plan(items, config, seed)
    optimizer = adamw(model, config)
    torch.manual_seed(seed)
    position = load_checkpoint(directory, model, optimizer, fingerprint(items, config, seed))
    progress.truncate_after(position.step)
    clock = Clock(items, steps, position)
    model.train()
    for number in range(position.step + 1, len(steps) + 1):
        rate = config.learning_rate * rate_factor(number, len(steps), config)
        batches = [[items[i] for i in batch] for batch in steps[number - 1]]
        metrics = take_step(model, optimizer, batches, objective, config, rate)
        position = clock.after(number)
        progress.step(
            "training",
            step=number,
            steps=len(steps),
            epoch=round(number * config.epochs / len(steps), 4),
            metrics=metrics,
            tokens_per_second=clock.tokens_per_second(),
            eta_seconds=clock.eta_seconds(),
        )
        regular = config.checkpoint_every and number % config.checkpoint_every == 0
        if regular or cancel.requested() or number == len(steps):
            save_checkpoint(directory, model, optimizer, position)
        cancel.check()
    model.eval()
    return position


def plan(items: Sequence[Item], config: OptimizerConfig, seed: int) -> list[Step]:
    """Every step of the run, settled before it starts. Items of like length share a batch, so that little is padded;
    seed and epoch decide which of them do, and the order of the batches."""
    steps: list[Step] = []
    for epoch in range(config.epochs):
        order = random.Random(f"{seed}:{epoch}")
        positions = list(range(len(items)))
        order.shuffle(positions)
        positions.sort(key=lambda position: items[position].length)
        batches = _chunks(positions, config.batch_size)
        order.shuffle(batches)
        steps += _chunks(batches, config.gradient_accumulation)
    return steps


def take_step(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    batches: list[list[Item]],
    objective: Objective,
    config: OptimizerConfig,
    rate: float,
) -> dict[str, float]:
    """One step over its batches. The loss is the mean over the units of the whole step, so splitting it into batches
    changes nothing. Returns loss, learning_rate, grad_norm and the mean of the objective's metrics."""
    items = [item for batch in batches for item in batch]
    units = sum(item.units for item in items)
    sums: dict[str, float] = {}
    loss = 0.0
    for batch in batches:
        outcome = objective(batch)
        part = outcome.losses.sum() / units
        loss += part.item()
        if not math.isfinite(loss):
            raise _nan_loss("loss", loss, batch)
        part.backward()
        for name, values in outcome.metrics.items():
            sums[name] = sums.get(name, 0.0) + values.detach().float().sum().item()
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    norm = nn.utils.clip_grad_norm_(weights, config.max_grad_norm).item()
    if not math.isfinite(norm):
        raise _nan_loss("gradient", norm, items)
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    means = {name: total / len(items) for name, total in sums.items()}
    return {"loss": loss, **means, "learning_rate": rate, "grad_norm": norm}


def adamw(model: nn.Module, config: OptimizerConfig) -> torch.optim.AdamW:
    """AdamW over the trainable weights; only matrices decay (biases and norms have one dimension)."""
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    matrices = [weight for weight in weights if weight.dim() > 1]
    rest = [weight for weight in weights if weight.dim() <= 1]
    groups = [{"params": matrices, "weight_decay": config.weight_decay}, {"params": rest, "weight_decay": 0.0}]
    return torch.optim.AdamW([group for group in groups if group["params"]], lr=config.learning_rate)


def rate_factor(number: int, steps: int, config: OptimizerConfig) -> float:
    """The share of the learning rate at step `number` (from 1). A function of the step alone: nothing to save."""
    warmup = min(math.ceil(steps * config.warmup_ratio), steps - 1)
    if number <= warmup:
        return number / (warmup + 1)  # never zero: a short run cannot afford an idle step
    done = (number - 1 - warmup) / (steps - warmup)
    return {"linear": 1 - done, "cosine": (1 + math.cos(math.pi * done)) / 2, "constant": 1.0}[config.schedule]


def fingerprint(items: Sequence[Item], config: OptimizerConfig, seed: int) -> str:
    """Names what the plan and the steps depend on: a checkpoint is continued only where this is equal."""
    facts = [asdict(config), seed, [[item.id, item.length, item.tokens] for item in items]]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


class Clock:
    """Counts real tokens and seconds, and tells the time left from the tokens still to come."""

    def __init__(self, items: Sequence[Item], steps: list[Step], start: Position) -> None:
        self.tokens = [sum(items[i].tokens for batch in step for i in batch) for step in steps]
        self.start = start
        self.number = start.step
        self.began = time.monotonic()

    def after(self, number: int) -> Position:
        """The position once step `number` is done; its seconds include those before an interruption."""
        self.number = number
        return Position(self.start.fingerprint, number, round(self.start.seconds + self._seconds(), 3))

    def tokens_per_second(self) -> float:
        return round(sum(self.tokens[self.start.step : self.number]) / self._seconds(), 1)

    def eta_seconds(self) -> float:
        return round(sum(self.tokens[self.number :]) / max(self.tokens_per_second(), 0.1), 1)

    def _seconds(self) -> float:
        return max(time.monotonic() - self.began, 1e-6)


def _chunks(values: list[Any], size: int) -> list[list[Any]]:
    return [values[start : start + size] for start in range(0, len(values), size)]


def _nan_loss(what: str, value: float, items: Sequence[Item]) -> ModelError:
    return ModelError(
        "nan_loss",
        f"The {what} became {value} in a batch with the examples {', '.join(item.id for item in items[:8])}; "
        "the weights of the last checkpoint are kept.",
        "Start again with a smaller learning rate, or look at these examples.",
    )
