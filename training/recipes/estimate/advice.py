"""What comes nearest to the settings asked for and fits into the memory there is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from training.recipes import load
from training.recipes.errors import RecipeError
from training.recipes.estimate.adapters import methods_for
from training.recipes.estimate.table import Estimate, Question, estimate

TWICE = {"gradient_checkpointing": "on"}


@dataclass(frozen=True)
class Advice:
    """`changed` are the settings that differ from those asked for, as name and value; `found` what it then takes."""

    changed: dict[str, Any]
    found: Estimate


def nearest_that_fits(question: Question, config: Any) -> Advice | None:
    """The first of: a smaller batch with as many more batches in a step, which changes no example's loss, unless it
    looks at the whole batch; checkpointing, which costs time, and comes first then; both; LoRA and QLoRA, with the
    smallest batch and with checkpointing as well; the same of shorter examples; of all adapters the one that takes the
    least, the examples as long as they can be then. None where nothing fits, or all does."""
    shortest = [config.max_length, *_shorter(question, config)][-1]
    if estimate(question, config).fits or not _fitting(question, config, shortest):
        return None
    for changed in _in_order(question, config):
        if found := _fits(question, config, changed):
            return found
    return _least(question, config)


def _in_order(question: Question, config: Any) -> Iterator[dict[str, Any]]:
    smaller = list(_smaller_batches(question, config))
    least = [{}, *smaller][-1]
    yield from [*smaller, TWICE] if getattr(config, "by_item", True) else [TWICE, *smaller]
    yield {**least, **TWICE}
    for adapter in ("lora", "qlora"):
        for twice in ({}, TWICE):
            yield {"adapter": adapter, **twice}
            yield {**least, "adapter": adapter, **twice}
    for length in _shorter(question, config):
        for adapter in (config.adapter, "lora", "qlora"):
            yield {**least, "adapter": adapter, "max_length": length}
            yield {**least, "adapter": adapter, "max_length": length, **TWICE}


def _least(question: Question, config: Any) -> Advice | None:
    """Of the longest examples with which any adapter fits, the one that takes the least."""
    for length in (config.max_length, *_shorter(question, config)):
        if found := _fitting(question, config, length):
            return min(found, key=lambda advice: advice.found.memory.total + advice.found.memory.heap)
    return None


def _fitting(question: Question, config: Any, length: int) -> list[Advice]:
    """Every adapter that fits with the smallest batch of examples so long."""
    least = [{}, *_smaller_batches(question, config)][-1]
    asked = (
        {**least, "adapter": adapter, "max_length": length, **twice}
        for adapter in methods_for(question.recipe)
        for twice in ({}, TWICE)
    )
    return [advice for changed in asked if (advice := _fits(question, config, changed))]


def _smaller_batches(question: Question, config: Any) -> Iterator[dict[str, Any]]:
    """Halved, down to one or what the recipe can do with, the step as large as before."""
    size, step = config.batch_size, config.batch_size * config.gradient_accumulation
    while size > 1:
        size //= 2
        changed = {"batch_size": size, "gradient_accumulation": step // size}
        if step % size == 0 and _loaded(question, config, changed):
            yield changed


def _shorter(question: Question, config: Any) -> Iterator[int]:
    """Halved, as far as the recipe can do with: those that draw want room for what they draw."""
    length = config.max_length
    while length >= 128:
        length //= 2
        if _loaded(question, config, {"max_length": length}):
            yield length


def _loaded(question: Question, config: Any, changed: dict[str, Any]) -> Any:
    """The settings so changed; None where the recipe refuses them."""
    try:
        return load(question.recipe, {**asdict(config), **changed})
    except RecipeError:
        return None


def _fits(question: Question, config: Any, changed: dict[str, Any]) -> Advice | None:
    if (settings := _loaded(question, config, changed)) is None:
        return None
    try:
        found = estimate(question, settings)
    except RecipeError:
        return None
    differing = {name: value for name, value in changed.items() if value != getattr(config, name)}
    return Advice(differing, found) if found.fits and found.memory else None
