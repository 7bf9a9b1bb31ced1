"""What a run asks for and this machine does in another way, in words for the page."""

from __future__ import annotations

import os
from collections.abc import Sequence

import torch

from training.ml import launched
from training.ml.device import choose_device
from training.ml.flash import flash_is_installed
from training.ml.precision import for_training
from training.recipes.adapters import AdapterConfig
from training.recipes.machine import MachineConfig
from training.recipes.words import gettext_noop


def fallbacks(config: object, adapters: Sequence[str] = ()) -> list[str]:
    """`adapters` are those of the model that it begins with."""
    of_config = [*_of_four_bits(config), *_of_packing(config), *_of_processes(config)]
    return [*_of_device(), *_of_merging(config, adapters), *of_config]


def _of_device() -> list[str]:
    """A driver that broke, a torch without CUDA, a slot whose GPU is not there: torch says no word of it."""
    if os.environ.get("CUDA_VISIBLE_DEVICES", "") in ("", "-1") or torch.cuda.is_available():
        return []
    return [
        gettext_noop(
            "The run was given a GPU, and torch finds none: it computes on the CPU, which is many times slower. "
            "`manage.py doctor` says what is lacking."
        )
    ]


def _of_merging(config: object, adapters: Sequence[str]) -> list[str]:
    if not (adapters and isinstance(config, AdapterConfig)):
        return []
    if for_training(choose_device(), config).dtype == torch.float32:
        return []
    return [
        gettext_noop(
            "What the model learned before is merged into its weights, which are kept in bf16 here: each sum is "
            "rounded once, so the training begins a little beside the model that was evaluated."
        )
    ]


def _of_four_bits(config: object) -> list[str]:
    if getattr(config, "adapter", None) != "qlora" or torch.cuda.is_available():
        return []
    return [
        gettext_noop("The optimizer is not paged: there is no GPU whose memory it could spare."),
        gettext_noop("The 4-bit weights are unpacked for every product: a CPU gains memory by them, and no time."),
    ]


def _of_packing(config: object) -> list[str]:
    if getattr(config, "packing", None) != "on" or flash_is_installed():
        return []
    return [
        gettext_noop(
            "Demonstrations are padded and not packed: what keeps the sequences of a pack apart is flash attention, "
            "which needs an NVIDIA GPU of 2020 or later and the package flash-attn."
        )
    ]


def _of_processes(config: object) -> list[str]:
    count = launched.processes()
    if not isinstance(config, MachineConfig):
        if torch.cuda.device_count() > 1:
            return [gettext_noop("This recipe computes in one process: of several GPUs it uses the first.")]
        return []
    return [*_of_answers(config, count), *_of_waiting(config, count)]


def _of_answers(config: MachineConfig, count: int) -> list[str]:
    if count == 1 or config.parallel != "fsdp" or not getattr(config, "samples_every", 0):
        return []
    return [
        gettext_noop(
            "No held-out prompts are answered between the steps: each process holds a part of the model (FSDP). They "
            "are answered before and after the training."
        )
    ]


def _of_waiting(config: MachineConfig, count: int) -> list[str]:
    if config.by_item or config.gradient_accumulation % count == 0:
        return []
    return [
        gettext_noop(
            "Some processes wait for others in every step: its batches do not come out even. Choose a multiple of the "
            "number of processes as batches per step."
        )
    ]
