"""Rotary positions in few passes over memory, in both directions (Su et al. 2021, section 3.4.2).

transformers turns half of each head around, joins it with the other half, and differentiates each of these operations
by itself: for queries and keys some fifteen passes, of which four are needed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

Rotate = Callable[..., tuple[Tensor, Tensor]]


class Rotated(torch.autograd.Function):
    """y = (x1 cos1 - x2 sin1, x2 cos2 + x1 sin2) for the two halves of x [..., width]; cos and sin, which have no
    gradient, are broadcast to it. The gradient lies in memory as x does: what is made of it is not copied again."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        ctx.save_for_backward(cos, sin)
        ctx.strides = x.stride()
        return rotated(x, cos, sin, torch.empty_like(x), 1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        cos, sin = ctx.saved_tensors
        as_x = torch.empty_strided(gradient.shape, ctx.strides, dtype=gradient.dtype, device=gradient.device)
        half = gradient.shape[-1] // 2
        return rotated(gradient, cos, sin.roll(half, -1), as_x, -1), None, None


def rotated(x: Tensor, cos: Tensor, sin: Tensor, found: Tensor, sign: int) -> Tensor:
    """Into `found`, by the angles of which cos and sin are given, or by the negative ones (`sign` -1)."""
    half = x.shape[-1] // 2
    torch.mul(x, cos, out=found)
    found[..., :half].addcmul_(x[..., half:], sin[..., :half], value=-sign)
    found[..., half:].addcmul_(x[..., :half], sin[..., half:], value=sign)
    return found


def in_few_passes(own: Rotate) -> Rotate:
    """`own` is transformers' function, which stays for another precision or device, and where only a part of each head
    is turned."""

    def rotate(query: Tensor, key: Tensor, cos: Tensor, sin: Tensor, unsqueeze_dim: int = 1) -> tuple[Tensor, Tensor]:
        plain = query.dtype == key.dtype == cos.dtype == torch.float32 and query.is_cpu
        if not plain or cos.shape[-1] != query.shape[-1] or cos.requires_grad:
            return own(query, key, cos, sin, unsqueeze_dim)
        cos, sin = cos.unsqueeze(unsqueeze_dim), sin.unsqueeze(unsqueeze_dim)
        if not torch.is_grad_enabled():
            return tuple(rotated(part, cos, sin, torch.empty_like(part), 1) for part in (query, key))
        return Rotated.apply(query, cos, sin), Rotated.apply(key, cos, sin)

    return rotate
