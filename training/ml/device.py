"""Chooses where and how precisely to compute: bf16 on a GPU that has it, fp32 elsewhere, all cores on a CPU."""

from __future__ import annotations

import os
from dataclasses import dataclass

import torch

from training.ml import cores
from training.ml.products import by_onednn
from training.recipes.words import gettext_noop


@dataclass(frozen=True)
class Device:
    """`name` and `precision` are for the manifest."""

    torch_device: torch.device
    dtype: torch.dtype
    name: str

    @property
    def precision(self) -> str:
        return "bf16" if self.dtype == torch.bfloat16 else "fp32"

    @property
    def reason(self) -> str:
        """Why this precision, for the page."""
        if self.torch_device.type == "cpu":
            return gettext_noop("A CPU is many times slower in bf16.")
        if self.dtype == torch.bfloat16:
            return gettext_noop("The GPU computes in bf16.")
        return gettext_noop("The GPU does not compute in bf16.")


def choose_device() -> Device:
    """The first GPU if there is one. On a CPU always fp32: bf16 is some 60 times slower there without AMX."""
    if torch.cuda.is_available():
        # Where torch prefers cuDNN's attention (Hopper, Blackwell), a mask can make its gradients NaN (pytorch#196678),
        # and it plans anew for every shape, which is every batch of ours, and every token that is drawn.
        torch.backends.cuda.enable_cudnn_sdp(False)
        bf16 = torch.cuda.is_bf16_supported(including_emulation=False)
        return Device(torch.device("cuda"), torch.bfloat16 if bf16 else torch.float32, torch.cuda.get_device_name())
    torch.set_num_threads(thread_count())
    by_onednn()
    return Device(torch.device("cpu"), torch.float32, "cpu")


def thread_count() -> int:
    """Every core this process may use, or OMP_NUM_THREADS where the operator has set it."""
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    return int(wanted) if wanted.isdigit() and int(wanted) > 0 else cores.number()
