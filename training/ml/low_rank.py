"""LoRA's forward and backward pass without passes over memory that nobody needs.

PEFT computes W x, then B A x, then its product with the scaling, then the sum: beside the matrix products four passes
over a layer's whole output, and more of them backwards. On a CPU these took a fifth of a step. Here the
second product is added to the first as it is computed, in both directions. Beside a base in bf16, as a GPU has it, PEFT
computes B A x in fp32, and keeps a copy of x for every layer: here it is multiplied in bf16, as autocast would have it.
"""

from __future__ import annotations

from typing import Any

import torch
from peft.tuners.lora.layer import Linear as LoraLinear
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from training.ml import launched


class AddedProduct(torch.autograd.Function):
    """W x + b + s B A x for a frozen W [out, in] and b; x [..., in], A [rank, in], B [out, rank]. All are multiplied in
    the type of x; A and B, and their gradients, may be kept in one of more digits."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, a: Tensor, b: Tensor, scale: float) -> Tensor:
        flat = x.reshape(-1, x.shape[-1])
        low = flat @ a.to(x.dtype).T
        found = nn.functional.linear(flat, weight, bias).addmm_(low, b.to(x.dtype).T, alpha=scale)
        ctx.save_for_backward(flat, weight, a, b, low)
        ctx.scale, ctx.shape = scale, x.shape
        return found.view(*x.shape[:-1], weight.shape[0])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        flat, weight, a, b, low = ctx.saved_tensors
        gradient = gradient.reshape(-1, weight.shape[0])
        of_low = gradient @ b.to(flat.dtype)
        of_x = None
        if ctx.needs_input_grad[0]:
            of_x = (gradient @ weight).addmm_(of_low, a.to(flat.dtype), alpha=ctx.scale).view(ctx.shape)
        of_a = (of_low.T @ flat).to(a.dtype).mul_(ctx.scale) if ctx.needs_input_grad[3] else None
        # Asked for the other way around, MKL takes more than twice as long.
        of_b = (low.T @ gradient).to(b.dtype).mul_(ctx.scale).T if ctx.needs_input_grad[4] else None
        return of_x, None, None, of_a, of_b, None


class AddingLinear(LoraLinear):
    """PEFT's layer; whatever is not the plain case (several adapters, DoRA, dropout at work, merged, switched off) is
    computed by PEFT as ever."""

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        name = self._plain_adapter(x)
        if name is None or args or kwargs:
            return super().forward(x, *args, **kwargs)
        base, a, b = self.base_layer, self.lora_A[name].weight, self.lora_B[name].weight
        return AddedProduct.apply(x, base.weight, base.bias, a, b, self.scaling[name])

    def _plain_adapter(self, x: Tensor) -> str | None:
        if self.disable_adapters or self.merged or len(self.active_adapters) != 1:
            return None
        name, base = self.active_adapters[0], self.base_layer
        if name not in self.lora_A or name in self.lora_variant or type(base) is not nn.Linear:
            return None
        dropout, b = self.lora_dropout[name], self.lora_B[name]
        if (dropout.training and getattr(dropout, "p", 0.0)) or b.bias is not None or base.weight.requires_grad:
            return None
        if base.bias is not None and base.bias.requires_grad:
            return None
        alike = x.dtype == base.weight.dtype and b.weight.dtype in (x.dtype, torch.float32)
        return name if alike and x.dtype in (torch.float32, torch.bfloat16) else None


def add_as_computed(model: nn.Module, parallel: str = "ddp") -> None:
    """Of every LoRA layer of the model; not where several processes each hold a part of its weights, which a layer of
    ours would reach for at the wrong moment."""
    if launched.processes() > 1 and parallel != "ddp":
        return
    for part in model.modules():
        if type(part) is LoraLinear:
            part.__class__ = AddingLinear
