"""Gradients that come out the same every time: a GPU adds up some of them in whatever order its threads come by."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def repeatable(device: torch.device) -> Iterator[None]:
    """Inside, what is learned on a GPU is the same to the last bit each time, so that a resumed run goes on as it would
    have; attention's backward pass takes somewhat longer for it. An operation that cannot be so only warns. Drawing
    adds nothing up, and the kernels chosen here would slow it down: it has no place inside. Libraries with settings of
    their own are given them by run.py, since they read them once."""
    if device.type != "cuda":
        yield
        return
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    filled = torch.utils.deterministic.fill_uninitialized_memory
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # to find who reads it, which costs
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
        torch.utils.deterministic.fill_uninitialized_memory = filled
