"""Settles the precision that training computes in."""

from __future__ import annotations

from dataclasses import fields, replace

import torch

from training.ml.device import Device
from training.recipes.adapters import SELECTIVE, AdapterConfig


class Quantised(Device):
    """A device on which the base model is kept in 4 bits."""

    @property
    def precision(self) -> str:
        return f"nf4, {super().precision}"


def for_training(device: Device, config: AdapterConfig) -> Device:
    """The model's own weights are trained in fp32: a step of 1e-5 vanishes in a bf16 weight. An adapter is fp32 itself,
    on any base."""
    if config.adapter == "full" or config.adapter in SELECTIVE:
        return replace(device, dtype=torch.float32)
    return in_four_bits(device) if config.adapter == "qlora" else device


def in_four_bits(device: Device) -> Quantised:
    return Quantised(**_values(device))


def unquantised(device: Device) -> Device:
    """The same device for a model that is not the one being trained."""
    return Device(**_values(device)) if isinstance(device, Quantised) else device


def is_paged(config: object) -> bool:
    """Whether the optimizer's state may be paged out of a GPU's memory (Dettmers et al. 2023, section 3)."""
    return getattr(config, "adapter", None) == "qlora" and torch.cuda.is_available()


def _values(device: Device) -> dict[str, object]:
    return {field.name: getattr(device, field.name) for field in fields(device)}
