"""Settles the precision that training computes in, which is finer than sampling needs when every weight moves."""

from __future__ import annotations

from dataclasses import replace

import torch

from training.ml.device import Device
from training.recipes.adapters import AdapterConfig


def for_training(device: Device, config: AdapterConfig) -> Device:
    """Full fine-tuning in fp32: a step of 1e-5 vanishes in a bf16 weight. A LoRA is fp32 itself, on any base."""
    return replace(device, dtype=torch.float32) if config.adapter == "full" else device
