"""RMSNorm's backward pass where its weight is not trained: three passes over memory instead of nine.

The layer of transformers is five operations, of each of which autograd keeps and differentiates its own part. On a CPU
these took as long as a tenth of a step's matrix products.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from training.ml import launched

# All of them compute w * x / rms(x) in fp32; others, as Gemma's, do not (tests/training/ml/test_frozen_norm.py).
KINDS = frozenset(f"{family}RMSNorm" for family in ("Llama", "Mistral", "Qwen2", "Qwen3", "Phi3", "SmolLM3"))


class ScaledToOne(torch.autograd.Function):
    """y = w * x * r with r = 1 / sqrt(mean(x^2) + eps), for x [..., width] and a frozen w [width], both fp32
    (Zhang and Sennrich 2019). With g the gradient of y, that of x is r * (w g) - x * r^3 * mean(w g x)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        scale = _scale(x, eps)
        ctx.save_for_backward(x, weight, scale)
        return torch.mul(x, scale).mul_(weight)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        x, weight, scale = ctx.saved_tensors
        weighted = gradient * weight
        along = torch.linalg.vecdot(weighted, x).unsqueeze(-1).div_(x.shape[-1])
        return weighted.mul_(scale).addcmul_(x, along * scale**3, value=-1), None, None


def scaled_to_one(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """The same where nothing is learned."""
    return torch.mul(x, _scale(x, eps)).mul_(weight)


def _scale(x: Tensor, eps: float) -> Tensor:
    """r for every row, [..., 1], in one pass over x."""
    return torch.linalg.vector_norm(x, dim=-1, keepdim=True).square_().div_(x.shape[-1]).add_(eps).rsqrt_()


class FrozenNorm(nn.Module):
    """Stands before a layer's own class; what is not the plain case (a weight that is trained, another precision or
    device) is computed by that."""

    def forward(self, hidden_states: Tensor) -> Tensor:
        weight = self.weight
        plain = hidden_states.dtype == weight.dtype == torch.float32 and hidden_states.is_cpu
        if not plain or weight.requires_grad:
            return super().forward(hidden_states)
        if not torch.is_grad_enabled():  # a step of decoding would notice what autograd takes to be asked
            return scaled_to_one(hidden_states, weight, self.variance_epsilon)
        return ScaledToOne.apply(hidden_states, weight, self.variance_epsilon)


@cache
def _kind_before(own: type[nn.Module]) -> type[nn.Module]:
    return type(f"Frozen{own.__name__}", (FrozenNorm, own), {})


def norm_in_few_passes(model: nn.Module, parallel: str = "ddp") -> None:
    """Every RMSNorm of the model that is known here; not where several processes each hold a part of its weights."""
    if launched.processes() > 1 and parallel != "ddp":
        return
    for part in model.modules():
        if type(part).__name__ in KINDS:
            part.__class__ = _kind_before(type(part))
