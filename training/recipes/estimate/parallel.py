"""What each of several processes holds of a run that they compute together, as training/ml does it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from training.recipes.errors import RecipeError
from training.recipes.estimate.activations import SINGLE
from training.recipes.estimate.adapters import Parameters
from training.recipes.estimate.layout import Architecture
from training.recipes.words import gettext_noop

PARTED = ("full", "lora")  # training/ml/sharded.py


def kind_of(config: Any, processes: int) -> str:
    return getattr(config, "parallel", "ddp") if processes > 1 else "ddp"


def require_partable(config: Any, processes: int) -> None:
    """Raises RecipeError for what training/ml/sharded.py refuses."""
    kind = kind_of(config, processes)
    if kind == "ddp" or (config.adapter in PARTED and not config.dora and getattr(config, "ties", "drop") == "drop"):
        return
    said = gettext_noop("On several devices %(kind)s trains every weight, or a plain LoRA; and no ties beside it.")
    raise RecipeError("parallel", said, kind=kind)


def largest_piece(config: Any, processes: int) -> Any:
    """The settings with the batch that one process computes at once. Whole batches are dealt out as long as there are
    enough of them; else those whose items stand each for itself are cut up (training/ml/sharing.py)."""
    if processes == 1 or not config.by_item or config.gradient_accumulation >= processes:
        return config
    return replace(config, batch_size=-(-config.batch_size // processes))


def parted(
    model: Architecture, config: Any, parts: dict[str, int], counted: Parameters, itemsize: int, processes: int
) -> dict[str, int]:
    """ "weights", "gradients" and "optimizer" of one process, from those of a process alone.

    DeepSpeed's ZeRO stage 2 parts gradients and moments, and keeps a copy of its part of what is trained (Rajbhandari
    et al. 2020). FSDP parts the weights too, but what is around the blocks is whole while the model is computed, and
    beside the block at work the next one; so are their gradients until they have been added up (Zhao et al. 2023).
    """
    kind = kind_of(config, processes)
    held = {name: parts[name] for name in ("weights", "gradients", "optimizer")}
    if kind == "ddp":
        return held
    share = {name: -(-size // processes) for name, size in held.items()}
    if kind == "deepspeed":
        copy = -(-counted.trainable * SINGLE // processes)
        return {**held, "gradients": share["gradients"], "optimizer": share["optimizer"] + copy}
    around = counted.base - model.last_blocks(model.blocks)
    whole = {"weights": (around + 2 * model.block) * itemsize, "optimizer": 0}
    whole["gradients"] = (
        (around + model.block) * SINGLE if config.adapter == "full" else held["gradients"] // model.blocks
    )
    return {name: min(held[name], share[name] + whole[name]) for name in held}
