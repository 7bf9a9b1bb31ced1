"""Whether a run computes the inside of every layer twice, as training/ml/machine.py settles it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from training.recipes.adapters import KEYS_BEFORE_THE_TEXT
from training.recipes.encoders import NEVER_TWICE
from training.recipes.errors import RecipeError
from training.recipes.estimate.adapters import separate
from training.recipes.estimate.layout import Architecture
from training.recipes.estimate.workload import Workload
from training.recipes.kept import kept_bytes
from training.recipes.machine import OPTIMIZER_BYTES, ROOM
from training.recipes.words import gettext_noop


def is_checkpointed(config: Any) -> bool:
    """Of settings that are settled: "auto" counts as off."""
    return getattr(config, "gradient_checkpointing", "off") == "on"


def require_twice(models: Sequence[Architecture], config: Any) -> None:
    """Raises RecipeError where it is asked for and an adapter or a model cannot be computed twice."""
    if getattr(config, "gradient_checkpointing", "off") != "on":
        return
    if config.adapter in KEYS_BEFORE_THE_TEXT:
        said = gettext_noop("This adapter puts keys and values before the text, and gradient checkpointing loses them.")
        raise RecipeError("gradient_checkpointing", said)
    if lacking := next((model.family for model in models if model.family in NEVER_TWICE), None):
        said = gettext_noop("Gradient checkpointing: transformers does not offer it for this model (%(model)s).")
        raise RecipeError("gradient_checkpointing", said, model=lacking)
    if separate(config) > 1:
        said = gettext_noop("An ensemble of adapters cannot compute its layers twice: another member is at work then.")
        raise RecipeError("gradient_checkpointing", said)


def settled(
    models: Sequence[Architecture],
    config: Any,
    work: Workload,
    trainable: int,
    *,
    free: int | None,
    itemsize: int,
    copied: int = 0,
) -> Any:
    """The settings with "auto" decided; `models` learn in turns, and have so many `trainable` numbers together; `free`
    bytes are left on the GPU once everything is loaded, None on a CPU or where they are not known; `copied` are kept of
    weights. Raises RecipeError as `require_twice` does."""
    require_twice(models, config)
    if getattr(config, "gradient_checkpointing", "off") != "auto":
        return config
    wanted = max(_kept(model, config, work, itemsize) for model in models) + OPTIMIZER_BYTES * trainable + copied
    full = free is not None and wanted > ROOM * free
    try:
        twice = replace(config, gradient_checkpointing="on")
        require_twice(models, twice)
    except RecipeError:
        full = False
    return replace(config, gradient_checkpointing="on" if full else "off")


def _kept(model: Architecture, config: Any, work: Workload, itemsize: int) -> int:
    sizes = {"layers": model.layers, "width": model.width, "inner": model.inner, "vocabulary": model.vocabulary}
    return kept_bytes(config, work.rows * work.length, itemsize, **sizes, transposed=model.transposed)
