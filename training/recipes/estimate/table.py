"""One estimate: what a recipe with its settings takes of a model; and the table of every adapter method."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from training.recipes import RECIPES, UNTRAINED, can_be_shared, load
from training.recipes.errors import RecipeError
from training.recipes.estimate.adapters import NotKnown, Parameters, base_of, methods_for, parameters
from training.recipes.estimate.checkpointing import settled
from training.recipes.estimate.disk import disk
from training.recipes.estimate.layout import Architecture
from training.recipes.estimate.memory import (
    Memory,
    Precision,
    copies,
    memory,
    start_beside,
    weights,
    with_prompts_once,
)
from training.recipes.estimate.parallel import largest_piece
from training.recipes.estimate.players import Rewarder, beside, loaded_beside, value_model, value_of
from training.recipes.estimate.throughput import Data, Durations, Speed, durations
from training.recipes.estimate.workload import Workload, workload
from training.recipes.words import gettext_noop

ESTIMATED = tuple(name for name in RECIPES if name not in UNTRAINED)


@dataclass(frozen=True)
class Machine:
    """`device` is "cpu" or "gpu"; `memory` its bytes, None where they are not known; `process` what the process takes
    of them before it has loaded a model: Python and its libraries. `devices` is how many a run is given: GPUs of so
    much memory each, or processes that share that of the machine."""

    device: str = "cpu"
    memory: int | None = None
    process: int = 0
    devices: int = 1

    def taken(self, held: Memory, processes: int = 1) -> int:
        """Of `memory`, by processes that hold so much each."""
        return (held.total + held.heap + self.process) * (processes if self.device == "cpu" else 1)

    def fits(self, held: Memory, processes: int = 1) -> bool:
        return self.memory is None or self.taken(held, processes) <= self.memory


@dataclass(frozen=True)
class Estimate:
    """Of one adapter method; instead of figures `refused` where it has no place in the model, or `unknown` where what
    it takes depends on what is not known of the model: then its `base` alone is told."""

    recipe: str
    adapter: str
    config: Any
    parameters: Parameters | None = None
    memory: Memory | None = None
    disk: dict[str, int] | None = None
    durations: Durations | None = None
    fits: bool = True
    refused: RecipeError | None = None
    unknown: NotKnown | None = None
    base: int = 0

    @property
    def seconds(self) -> float | None:
        """Of the whole run; None where the speed is not known."""
        return self.durations.total if self.durations else None


@dataclass(frozen=True)
class Question:
    """All that an estimate is made from, adapter and settings aside."""

    model: Architecture
    recipe: str
    machine: Machine
    data: Data
    speed: Speed
    response: int | None = None
    reward: Rewarder | None = None  # what pays a recipe that draws; None where it is not known

    @property
    def processes(self) -> int:
        """How many compute a run together."""
        return self.machine.devices if can_be_shared(self.recipe) else 1

    def work(self, config: Any) -> Workload:
        """What one process computes at once."""
        piece = largest_piece(config, self.processes)
        return workload(self.recipe, piece, self.response, self.model.context, self.data.responses)


def estimate(question: Question, config: Any) -> Estimate:
    """Raises RecipeError for a method that the model refuses."""
    if question.recipe not in ESTIMATED:
        said = gettext_noop("“%(recipe)s” trains nothing. Use one of: %(names)s.")
        raise RecipeError("recipe", said, recipe=question.recipe, names=", ".join(ESTIMATED))
    work = question.work(config)
    if question.model.encoder and work.task == "policy":
        said = gettext_noop("An encoder (%(family)s) writes no text: it can be a reward model only.")
        raise RecipeError("recipe", said, family=question.model.family)
    base = base_of(question.model, config, work.task)
    try:
        return _figures(question, config, work, base)
    except NotKnown as error:
        return Estimate(question.recipe, config.adapter, config, unknown=error, base=base)


def _figures(question: Question, config: Any, work: Workload, base: int) -> Estimate:
    counted = parameters(question.model, config, work.task)
    whole = workload(question.recipe, config, question.response, question.model.context, question.data.responses)
    reward = beside(question.reward, question.model, config, work)
    computed = _settled(question, config, whole, counted, reward)
    held = memory(question.model, computed, work, question.machine.device, reward, question.processes)
    timed = with_prompts_once(question.model, work, question.machine.device)
    return Estimate(
        recipe=question.recipe,
        adapter=config.adapter,
        config=config,
        parameters=counted,
        memory=held,
        disk=disk(question.model, config, counted, value_of(question.model, config, work, reward)),
        durations=durations(question.model, computed, counted, timed, question.data, question.speed, reward),
        fits=question.machine.fits(held, question.processes),
        base=base,
    )


def _settled(question: Question, config: Any, work: Workload, counted: Parameters, reward: Rewarder | None) -> Any:
    model, machine, precision = question.model, question.machine, Precision.on(question.machine.device, config)
    models, free = [model], None
    if work.recipe == "ppo" and reward is not None:
        models.append(value_model(model, config, work, reward).host)
    if machine.device == "gpu" and machine.memory is not None:
        free = machine.memory - machine.process - weights(model, config, counted, precision, work)
        free -= start_beside(config, work, counted)
        if reward is not None:
            free -= loaded_beside(model, config, work, counted, precision.base, reward)
    trainable = counted.trainable + value_of(model, config, work, reward)
    copied = copies(config, counted, precision)
    return settled(models, config, work, trainable, free=free, itemsize=precision.base, copied=copied)


def every_method(question: Question, config: Any) -> list[Estimate]:
    """The same settings with each adapter method, in the order in which the recipe offers them."""
    found = []
    for name in methods_for(question.recipe):
        try:
            found.append(estimate(question, load(question.recipe, {**asdict(config), "adapter": name})))
        except RecipeError as error:
            found.append(Estimate(question.recipe, name, config, refused=error))
    return found
