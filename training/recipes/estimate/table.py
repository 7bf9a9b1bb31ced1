"""One estimate: what a recipe with its settings takes of a model; and the table of every adapter method."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from training.recipes import RECIPES, UNTRAINED, load
from training.recipes.errors import RecipeError
from training.recipes.estimate.adapters import Parameters, methods_for, parameters
from training.recipes.estimate.checkpointing import settled
from training.recipes.estimate.disk import disk
from training.recipes.estimate.layout import Architecture
from training.recipes.estimate.memory import Memory, Precision, memory, weights, with_prompts_once
from training.recipes.estimate.players import Rewarder, beside
from training.recipes.estimate.throughput import Data, Durations, Speed, durations
from training.recipes.estimate.workload import Workload, workload
from training.recipes.words import gettext_noop

ESTIMATED = tuple(name for name in RECIPES if name not in UNTRAINED)


@dataclass(frozen=True)
class Machine:
    """`device` is "cpu" or "gpu"; `memory` its bytes, None where they are not known; `process` what the process takes
    of them before it has loaded a model: Python and its libraries."""

    device: str = "cpu"
    memory: int | None = None
    process: int = 0

    def fits(self, total: int) -> bool:
        return self.memory is None or total + self.process <= self.memory


@dataclass(frozen=True)
class Estimate:
    """Of one adapter method; `refused` instead of figures where it has no place in the model."""

    recipe: str
    adapter: str
    config: Any
    parameters: Parameters | None = None
    memory: Memory | None = None
    disk: dict[str, int] | None = None
    durations: Durations | None = None
    fits: bool = True
    refused: RecipeError | None = None

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

    def work(self, config: Any) -> Workload:
        return workload(self.recipe, config, self.response, self.model.context)


def estimate(question: Question, config: Any) -> Estimate:
    """Raises RecipeError for a method that the model refuses."""
    if question.recipe not in ESTIMATED:
        said = gettext_noop("“%(recipe)s” trains nothing. Use one of: %(names)s.")
        raise RecipeError("recipe", said, recipe=question.recipe, names=", ".join(ESTIMATED))
    work = question.work(config)
    if question.model.encoder and work.task == "policy":
        said = gettext_noop("An encoder (%(family)s) writes no text: it can be a reward model only.")
        raise RecipeError("recipe", said, family=question.model.family)
    counted = parameters(question.model, config, work.task)
    computed = _settled(question, config, work, counted)
    reward = beside(question.reward, question.model, config, work)
    held = memory(question.model, computed, work, question.machine.device, reward)
    timed = with_prompts_once(question.model, work, question.machine.device)
    return Estimate(
        recipe=question.recipe,
        adapter=config.adapter,
        config=config,
        parameters=counted,
        memory=held,
        disk=disk(question.model, config, counted),
        durations=durations(question.model, computed, counted, timed, question.data, question.speed, reward),
        fits=question.machine.fits(held.total),
    )


def _settled(question: Question, config: Any, work: Workload, counted: Parameters) -> Any:
    machine, precision = question.machine, Precision.on(question.machine.device, config)
    free = None
    if machine.device == "gpu" and machine.memory is not None:
        free = machine.memory - machine.process - weights(question.model, config, counted, precision, work)
    trainable = counted.trainable
    return settled(question.model, config, work, trainable, free=free, itemsize=precision.base)


def every_method(question: Question, config: Any) -> list[Estimate]:
    """The same settings with each adapter method, in the order in which the recipe offers them."""
    found = []
    for name in methods_for(question.recipe):
        try:
            found.append(estimate(question, load(question.recipe, {**asdict(config), "adapter": name})))
        except RecipeError as error:
            found.append(Estimate(question.recipe, name, config, refused=error))
    return found
