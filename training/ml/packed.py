"""The weights of a model that only speaks, laid out beforehand as oneDNN reads them.

A step of decoding multiplies a few rows by every weight. As torch keeps a weight it is laid out anew within each
product, which for 4 to 32 rows takes about as long as the product itself (docs/performance.md).
"""

from __future__ import annotations

from collections.abc import Collection
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
def pack(*models: nn.Module) -> int:
    """Of how many layers the weights are laid out so; for good: the models can no longer be trained, saved or merged.

    None on a processor or in a precision where it is not worth it. A weight that several layers share is laid out once
    for all of them; an output layer whose weight is the embedding as well stays, as it would have to be kept twice.
    """
    if not _worth_it():
        return 0
    all_parts = [part for model in models for part in model.modules()]
    embeddings = {id(part.weight) for part in all_parts if isinstance(part, nn.Embedding)}
    by_weight: dict[int, list[nn.Module]] = {}
    for part in all_parts:
        if _can_be_packed(part) and id(part.weight) not in embeddings:
            by_weight.setdefault(id(part.weight), []).append(part)
    _let_go_of_files(all_parts, by_weight.keys())
    for parts in by_weight.values():
        _pack_alike(parts)
    return sum(map(len, by_weight.values()))


def _let_go_of_files(parts: list[nn.Module], packed: Collection[int]) -> None:
    """Weights as they are loaded are pieces of one file in memory, which stays there whole for a single one of them:
    what will not be laid out anew is copied out of it."""
    for weight in {weight for part in parts for weight in part.parameters(recurse=False)}:
        if id(weight) not in packed and weight.is_cpu:
            weight.data = weight.data.clone()


def _pack_alike(parts: list[nn.Module]) -> None:
    """Layers with one and the same weight, which is free afterwards."""
    transposed = type(parts[0]) is Conv1D
    weight = parts[0].weight.t() if transposed else parts[0].weight
    laid_out = torch.ops.mkldnn._reorder_linear_weight(weight.detach().contiguous(), ROWS)
    packed = nn.Parameter(laid_out, requires_grad=False)
    for part in parts:
        part.weight = packed
        part.__class__ = PackedConv1D if transposed else PackedLinear


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
