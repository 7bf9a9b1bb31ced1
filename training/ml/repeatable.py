"""Gradients that come out the same every time: a GPU adds up some of them in whatever order its threads come by."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import Node

ATTENTION = "DotProduct"  # in the names of the nodes of torch's kernels of attention
_NEAR = 4  # nodes at most between what attention gives and its kernel: a slice, a transpose


@contextmanager
def repeatable(device: torch.device) -> Iterator[None]:
    """Inside, what is learned on a GPU is the same to the last bit each time, so that a resumed run goes on as it would
    have; attention's backward pass takes somewhat longer for it. An operation that cannot be so only warns. Drawing
    adds nothing up, and the kernels chosen here would slow it down: it is done `as_it_comes`. Libraries with settings
    of their own are given them by run.py, since they read them once."""
    if device.type != "cuda":
        yield
        return
    attend = torch.nn.functional.scaled_dot_product_attention
    filled = torch.utils.deterministic.fill_uninitialized_memory

    def attend_repeatably(*args: Any, **kwargs: Any) -> Tensor:
        found = attend(*args, **kwargs)
        if found.grad_fn is not None:
            _be_strict_in(found.grad_fn)
        return found

    with _algorithms(True):
        torch.utils.deterministic.fill_uninitialized_memory = False  # to find who reads it, which costs
        torch.nn.functional.scaled_dot_product_attention = attend_repeatably
        try:
            yield
        finally:
            torch.nn.functional.scaled_dot_product_attention = attend
            torch.utils.deterministic.fill_uninitialized_memory = filled


@contextmanager
def as_it_comes() -> Iterator[None]:
    """Inside of `repeatable`, for what is drawn there."""
    with _algorithms(False):
        yield


@contextmanager
def _algorithms(deterministic: bool) -> Iterator[None]:
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(deterministic, warn_only=True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])


def _be_strict_in(node: Node) -> None:
    """Where others may only warn, attention warns, too, and stays as it is, although it could be repeatable (torch,
    attention_backward.cu): for its backward pass alone nothing may be otherwise."""
    kernel = _kernel_of(node)
    if kernel is not None:
        kernel.register_prehook(lambda _given: torch.use_deterministic_algorithms(True))
        kernel.register_hook(lambda _given, _made: torch.use_deterministic_algorithms(True, warn_only=True))


def _kernel_of(node: Node) -> Node | None:
    """None where attention was computed in plain steps."""
    layer = [node]
    for _ in range(_NEAR):
        for each in layer:
            if ATTENTION in each.name():
                return each
        layer = [below for each in layer for below, _place in each.next_functions if below is not None]
    return None
