"""Whether flash attention can be used: its package, a GPU that its kernels are written for, a precision they know."""

from __future__ import annotations

import torch
from transformers.utils import is_flash_attn_2_available

from training.ml.device import Device

NAME = "flash_attention_2"  # as transformers calls it
AMPERE = (8, 0)  # the first GPUs with its kernels


def flash_is_installed() -> bool:
    return (
        torch.cuda.is_available() and torch.cuda.get_device_capability() >= AMPERE and bool(is_flash_attn_2_available())
    )


def flash_fits(device: Device) -> bool:
    return device.dtype in (torch.bfloat16, torch.float16) and flash_is_installed()
