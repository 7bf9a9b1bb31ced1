"""The training loop: AdamW over length-sorted batches, with checkpoints that a resumed run continues from exactly."""

from __future__ import annotations

import hashlib
import json
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from training.ml import cancel, launched, together
from training.ml.checkpoint import NOT_KNOWN, BegunOn, Position, load_checkpoint, save_checkpoint
from training.ml.clock import Clock
from training.ml.not_finite import NotFinite, Words, told
from training.ml.optimizer import adamw, rate_factor
from training.ml.progress import Progress
from training.ml.repeatable import repeatable
from training.ml.sharded import computed, is_sharded, length_of, shard, summed
from training.ml.sharing import STAND_IN, shares
from training.ml.zero import Zero, part
from training.recipes.machine import MachineConfig
from training.recipes.optimizer import OptimizerConfig
from training.recipes.watching import WatchedConfig
from training.recipes.words import gettext_noop


class Item(Protocol):
    """An example. `length` is its longest sequence, `tokens` all it puts through the model, without padding;
    `units` is what it counts in the mean of the loss: 1 for a pair, the tokens learned from for a demonstration."""

    id: str
    length: int
    tokens: int
    units: int


@dataclass(frozen=True)
class Outcome:
    """What an objective says about a batch: a loss per item (summed over its units) and metrics, each of as many values
    as there were to be had: one per item, or of those items alone that it is defined for."""

    losses: Tensor
    metrics: dict[str, Tensor] = field(default_factory=dict)


Objective = Callable[[Sequence[Any]], Outcome]
# Settings that change nothing of what is learned.
BESIDE_LEARNING = {setting.name for kind in (MachineConfig, WatchedConfig) for setting in fields(kind)}
NOT_FINITE = Words(
    kept=gettext_noop(
        "The %(what)s became %(value)s in a batch with the examples %(examples)s; the weights of the last "
        "checkpoint are kept."
    ),
    lost=gettext_noop("The %(what)s became %(value)s in a batch with the examples %(examples)s."),
    hint=gettext_noop("Start again with a smaller learning rate, or look at these examples."),
    named="examples",
)
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
    begun_on: BegunOn = NOT_KNOWN,
    by_item: bool = False,
    look: Callable[[int], None] = lambda number: None,
) -> Position:
    """Train the parameters that require a gradient, from the last checkpoint in `directory` if there is one, which must
    have been `begun_on` the same weights.

    Several processes do each step together (`sharing.py`); `by_item` says that an item's loss does not look at the rest
    of its batch. When training ends, only rank 0 returns; the others raise NotNeeded. `look` is called with the number
    of every finished step, by the first of them and where the model is whole; first with that of the step that a run
    goes on from, which may have been stopped before it had looked.
    Raises Cancelled after SIGTERM, with a checkpoint written, ModelError("nan_loss"), the last checkpoint kept if there
    is one, and NotNeeded in the other processes.
    """
    steps = plan(items, config, seed)
    shard(model, config)
    optimizer = adamw(model, config)
    torch.manual_seed(seed)
    position = load_checkpoint(directory, model, optimizer, fingerprint(items, config, seed), begun_on)
    optimizer = part(model, optimizer, config)
    progress.truncate_after(position.step)
    clock = Clock([sum(items[i].tokens for batch in step for i in batch) for step in steps], config.epochs, position)
    model.train()

    def save() -> None:
        save_checkpoint(directory, model, optimizer, position, begun_on)

    if position.step:
        _show(look, position.step, model, optimizer, save)
    for number in range(position.step + 1, len(steps) + 1):
        rate = config.learning_rate * rate_factor(number, len(steps), config)
        batches = [[items[i] for i in batch] for batch in steps[number - 1]]
        try:
            with repeatable(next(model.parameters()).device):
                metrics = take_step(model, optimizer, batches, objective, config, rate, f"{seed}:{number}", by_item)
        except NotFinite as found:
            raise told(found, NOT_FINITE, model, directory, nothing_learned=number == 1) from found
        position = clock.after(number)
        clock.tell(progress, metrics)
        regular = config.checkpoint_every and number % config.checkpoint_every == 0
        asked = together.any_of(cancel.requested())
        if regular or asked or number == len(steps):
            save()
            together.meet()  # whoever ended before all is saved would have the launcher stop the others
        if asked:
            raise cancel.Cancelled
        _show(look, number, model, optimizer, save)
    _end(model, optimizer)
    return position


def _show(
    look: Callable[[int], None],
    number: int,
    model: nn.Module,
    optimizer: torch.optim.Optimizer | Zero,
    save: Callable[[], None],
) -> None:
    """A look takes longer than a step: what was learned before it is not lost when the run is to stop meanwhile."""
    if launched.is_first() and not is_sharded(model):
        try:
            look(number)
        except cancel.Cancelled:
            if launched.processes() == 1:
                save()
                raise  # several stop together after the next step
    if isinstance(optimizer, Zero):
        together.meet()  # its next step waits for the first process in the middle of what a GPU computes


def _end(model: nn.Module, optimizer: torch.optim.Optimizer | Zero) -> None:
    """Raises NotNeeded in all processes but the first, and there TrainedInParts where no process has the whole."""
    model.eval()
    together.end()
    if not launched.is_first():
        raise launched.NotNeeded
    if is_sharded(model) or isinstance(optimizer, Zero):
        raise launched.TrainedInParts
    forget_moments(optimizer)


def forget_moments(optimizer: torch.optim.Optimizer) -> None:
    """The first optimizer of a process is held by frames of what torch loads with it: until the garbage collector comes
    by, its moments would lie beside whatever is done after the training."""
    optimizer.state.clear()


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
    draw: str = "",
    by_item: bool = False,
) -> dict[str, float]:
    """One step over its batches. The loss is the mean over the units of the whole step, so splitting it into batches
    changes nothing. Returns loss, learning_rate, grad_norm and means of the objective's metrics. Raises NotFinite."""
    items = [item for batch in batches for item in batch]
    units = sum(item.units for item in items)
    sums: dict[str, float] = {"loss": 0.0}
    counted: dict[str, float] = {}
    zero = optimizer if isinstance(optimizer, Zero) else None
    own = shares(batches, by_item, alike=is_sharded(model) or zero is not None)
    figures: list[dict[str, Tensor]] = []
    for done, (position, batch) in enumerate(own, start=1):
        # Dropout draws from this, so that it is the same whichever process the batch falls to.
        torch.manual_seed(random.Random(f"{draw}:{position}").getrandbits(63))
        losses, metrics = computed(model, _parts_of, objective, batch)
        loss = losses.sum() / units if position != STAND_IN else 0 * losses.sum()
        figures.append({"loss": loss.detach()})
        if zero:
            zero.backward(loss, last=done == len(own))
        else:
            summed(model, loss).backward()
        if position == STAND_IN:
            continue
        figures[-1] |= {name: values.detach().float().sum() for name, values in metrics.items()}
        for name, values in metrics.items():
            counted[name] = counted.get(name, 0.0) + len(values)
    for (_, batch), found in zip(own, numbers_of(figures), strict=True):
        for name, value in found.items():
            sums[name] = sums.get(name, 0.0) + value
        if not math.isfinite(sums["loss"]):
            raise NotFinite("loss", sums["loss"], [item.id for item in batch])
    sums, counted = together.totals(sums), together.totals(counted)
    norm = _step(model, optimizer, config, rate, items)
    # A metric may leave items out: a pair that nobody won has no accuracy.
    means = {name: sums[name] / number for name, number in counted.items() if number}
    return {"loss": sums["loss"], **means, "learning_rate": rate, "grad_norm": norm}


def numbers_of(figures: Sequence[dict[str, Tensor]]) -> list[dict[str, float]]:
    """Of scalars by name, all at once: who asks a GPU for a number waits until it has computed everything before."""
    flat = [value for one in figures for value in one.values()]
    numbers = iter(torch.stack(flat).tolist() if flat else [])
    return [{name: next(numbers) for name in one} for one in figures]


def _step(
    model: nn.Module, optimizer: torch.optim.Optimizer | Zero, config: OptimizerConfig, rate: float, items: list[Item]
) -> float:
    """Add up the gradients of all processes, shorten them, take the step. Returns their norm before."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group.get("factor", 1.0)
    if isinstance(optimizer, Zero):
        norm = optimizer.step()
    else:
        weights = [weight for group in optimizer.param_groups for weight in group["params"]]
        if not is_sharded(model):
            together.add_up_gradients(weights)
        norm = length_of(nn.utils.clip_grad_norm_(weights, config.max_grad_norm))
    if not math.isfinite(norm):
        raise NotFinite("gradient", norm, [item.id for item in items])
    if not isinstance(optimizer, Zero):
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    return norm


def _parts_of(objective: Objective, batch: Sequence[Item]) -> tuple[Tensor, dict[str, Tensor]]:
    outcome = objective(batch)
    return outcome.losses, outcome.metrics


def fingerprint(items: Sequence[Item], config: OptimizerConfig, seed: int) -> str:
    """Names what the plan and the steps depend on: a checkpoint is continued only where this is equal, on any machine
    and in any number of processes. A setting that stands at what was done "before" there was such a setting is not
    named: checkpoints from then are continued."""
    new = {setting.name: setting.metadata["before"] for setting in fields(config) if "before" in setting.metadata}
    settings = {
        name: value
        for name, value in asdict(config).items()
        if name not in BESIDE_LEARNING and not (name in new and value == new[name])
    }
    facts = [settings, seed, [[item.id, item.length, item.tokens] for item in items]]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _chunks(values: list[Any], size: int) -> list[list[Any]]:
    return [values[start : start + size] for start in range(0, len(values), size)]
