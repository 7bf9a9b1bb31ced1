"""Settles the precision that training computes in."""

from __future__ import annotations

from dataclasses import fields, replace

import torch

from training.ml.device import Device
from training.ml.mixed import HALF
from training.recipes.adapters import SELECTIVE, AdapterConfig
from training.recipes.words import gettext_noop


class Quantised(Device):
    """A device on which the base model is kept in 4 bits."""

    @property
    def precision(self) -> str:
        return f"nf4, {super().precision}"


class Mixed(Device):
    """A device that multiplies in bf16 what is kept in fp32 (mixed.py)."""

    @property
    def precision(self) -> str:
        return "bf16, weights fp32"

    @property
    def reason(self) -> str:
        return gettext_noop(
            "The GPU computes in bf16. The model's own weights are trained, so they are kept in fp32: in bf16 a small "
            "step would vanish."
        )


def for_training(device: Device, config: AdapterConfig) -> Device:
    """The model's own weights are trained in fp32: a step of 1e-5 vanishes in a bf16 weight. Where the device has bf16,
    they are multiplied in it. An adapter is fp32 itself, on any base."""
    if config.adapter == "full" or config.adapter in SELECTIVE:
        kept = replace(device, dtype=torch.float32)
        return kept if device.dtype == torch.float32 else Mixed(**_values(kept))
    return in_four_bits(device) if config.adapter == "qlora" else device


def in_four_bits(device: Device) -> Quantised:
    return Quantised(**_values(device))


def for_frozen(device: Device) -> Device:
    """The same device for a model that is not the one being trained: as it would be loaded by itself."""
    plain = Device(**_values(device)) if isinstance(device, Quantised | Mixed) else device
    return replace(plain, dtype=HALF) if isinstance(device, Mixed) else plain


def is_paged(config: object) -> bool:
    """Whether the optimizer's state may be paged out of a GPU's memory (Dettmers et al. 2023, section 3)."""
    return getattr(config, "adapter", None) == "qlora" and torch.cuda.is_available()


def _values(device: Device) -> dict[str, object]:
    return {field.name: getattr(device, field.name) for field in fields(device)}
