"""What comes nearest to the settings asked for and fits into the memory there is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from training.recipes import load
from training.recipes.errors import RecipeError
from training.recipes.estimate.adapters import methods_for
from training.recipes.estimate.table import Estimate, Question, estimate


@dataclass(frozen=True)
class Advice:
    """`changed` are the settings that differ from those asked for, as name and value; `found` what it then takes."""

    changed: dict[str, Any]
    found: Estimate


def nearest_that_fits(question: Question, config: Any) -> Advice | None:
    """The first of: a smaller batch with as many more batches in a step, which changes nothing that is learned;
    checkpointing, which costs time; both; QLoRA and LoRA, with the smallest batch as well; shorter examples; the
    adapter that takes the least. None where nothing fits, or all does."""
    if estimate(question, config).fits:
        return None
    for changed in _in_order(question, config):
        if found := _fits(question, config, changed):
            return Advice(changed, found)
    return None


def _in_order(question: Question, config: Any) -> Iterator[dict[str, Any]]:
    smaller = list(_smaller_batches(question, config))
    least = smaller[-1] if smaller else {}
    yield from smaller
    if getattr(config, "gradient_checkpointing", "on") != "on":
        yield {"gradient_checkpointing": "on"}
        yield {**least, "gradient_checkpointing": "on"}
    for adapter in ("lora", "qlora"):
        if adapter != config.adapter:
            yield {"adapter": adapter}
            yield {**least, "adapter": adapter}
    for length in _shorter(config):
        yield {**least, "max_length": length}
        yield {**least, "adapter": "qlora", "max_length": length}
    for adapter in methods_for(question.recipe):
        yield {**least, "adapter": adapter}


def _smaller_batches(question: Question, config: Any) -> Iterator[dict[str, Any]]:
    """Halved, down to one, the step as large as before."""
    size, step = config.batch_size, config.batch_size * config.gradient_accumulation
    while size > 1:
        size //= 2
        if step % size == 0:
            yield {"batch_size": size, "gradient_accumulation": step // size}


def _shorter(config: Any) -> Iterator[int]:
    length = config.max_length
    while length >= 128:
        length //= 2
        yield length


def _fits(question: Question, config: Any, changed: dict[str, Any]) -> Estimate | None:
    try:
        found = estimate(question, load(question.recipe, {**asdict(config), **changed}))
    except RecipeError:
        return None
    return found if found.fits and found.memory else None
