"""The weights of a model that only speaks, laid out beforehand as oneDNN reads them.

A step of decoding multiplies a few rows by every weight. As torch keeps a weight it is laid out anew within each
product, which for 4 to 32 rows takes about as long as the product itself (docs/performance.md).
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from training.ml.products import COLUMNS

ROWS = 32  # laid out for about so many; the layout is the same for 4 to 64


class PackedLinear(nn.Linear):
    """Its weight [out, in] has its shape and type, and oneDNN's layout: nothing but this product can read it."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.ops.mkldnn._linear_pointwise(x, self.weight, self.bias, "none", [], "")


class PackedConv1D(Conv1D):
    """GPT-2's layer, whose own weight is [in, out]; packed it is [out, in]."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.ops.mkldnn._linear_pointwise(x, self.weight, self.bias, "none", [], "")


@torch.no_grad()
def pack(model: nn.Module) -> int:
    """Of how many layers the weights are laid out so; for good: the model can no longer be trained, saved or merged.

    None on a processor or in a precision where it is not worth it. A weight that another part of the model reads too,
    as an output layer's often is the embedding, is kept beside the packed one.
    """
    if not _worth_it():
        return 0
    chosen = [part for part in model.modules() if _can_be_packed(part)]
    for part in chosen:
        plain = part.weight.t() if type(part) is Conv1D else part.weight
        laid_out = torch.ops.mkldnn._reorder_linear_weight(plain.detach().contiguous(), ROWS)
        part.weight = nn.Parameter(laid_out, requires_grad=False)
        part.__class__ = PackedConv1D if type(part) is Conv1D else PackedLinear
    return len(chosen)


@cache
def _worth_it() -> bool:
    """Known of processors with AVX-512; see products.py for why nothing is measured here."""
    return torch.backends.mkldnn.is_available() and torch.backends.cpu.get_cpu_capability() == "AVX512"


def _can_be_packed(part: nn.Module) -> bool:
    if type(part) not in (nn.Linear, Conv1D):
        return False
    weight, bias = part.weight, part.bias
    plain = weight.layout is torch.strided and weight.dtype is torch.float32 and weight.is_cpu
    return plain and min(weight.shape) >= COLUMNS and (bias is None or bias.dtype is torch.float32)
