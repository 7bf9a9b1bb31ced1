"""The weights of a model that only speaks, laid out beforehand as oneDNN reads them.

A step of decoding multiplies a few rows by every weight. As torch keeps a weight it is laid out anew within each
product, which for 4 to 32 rows takes about as long as the product itself (docs/performance.md).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from functools import cache

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from training.ml.mapped_files import MappedFiles
from training.ml.processor import AMD, maker
from training.ml.products import COLUMNS

ROWS = 32  # laid out for about so many; the layout is the same for 4 to 64
# Layers of one block that are given the same states: what they compute is one product.
OF_THE_SAME = (("q_proj", "k_proj", "v_proj"), ("gate_proj", "up_proj"))


class ByOneDNN(nn.Linear):
    """Its weight stays as torch keeps it."""

    def forward(self, x: Tensor) -> Tensor:
        return _product(x, self.weight, self.bias)


class PackedLinear(ByOneDNN):
    """Its weight [out, in] has its shape and type, and oneDNN's layout: nothing but this product can read it."""

    def added_to(self, x: Tensor, states: Tensor) -> Tensor:
        """The sum of `states` [..., out] and the layer's product, as it is computed."""
        return torch.ops.mkldnn._linear_pointwise.binary(x, states, self.weight, self.bias, "add")


class PackedConv1D(Conv1D):
    """GPT-2's layer, whose own weight is [in, out]; packed it is [out, in]."""

    def forward(self, x: Tensor) -> Tensor:
        return _product(x, self.weight, self.bias)


class PackedTogether(PackedLinear):
    """One of several layers that are given the same states; its weight is that of all of them, [sum of out, in]."""

    def forward(self, x: Tensor) -> Tensor:
        return self.together.part(x, self.place)


class Together:
    """What the first of the layers is asked for is computed for all, and kept until the last one has been asked."""

    def __init__(self, weight: nn.Parameter, bias: Tensor | None, sizes: Sequence[int]) -> None:
        self.weight, self.bias, self.sizes = weight, bias, list(sizes)
        self._of: Tensor | None = None
        self._parts: Sequence[Tensor] = ()

    def part(self, x: Tensor, place: int) -> Tensor:
        if self._of is not x:
            self._of, self._parts = x, self.whole(x).split(self.sizes, dim=-1)
        found = self._parts[place]
        if place == len(self.sizes) - 1:
            self._of, self._parts = None, ()
        return found

    def whole(self, x: Tensor) -> Tensor:
        """[..., sum of out]"""
        return _product(x, self.weight, self.bias)

    def weight_of(self, place: int) -> Tensor:
        """[out, in] of one layer, as torch keeps it."""
        return self.weight.to_dense().split(self.sizes)[place]


def named_weights(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """As `named_parameters`, but each of those that are one product under its own name and with its own numbers."""
    together = {name: part for name, part in model.named_modules() if isinstance(part, PackedTogether)}
    whole = {id(part.weight) for part in together.values()}
    yield from ((name, weight) for name, weight in model.named_parameters() if id(weight) not in whole)
    yield from ((f"{name}.weight", part.together.weight_of(part.place)) for name, part in together.items())


@torch.no_grad()
def pack(*models: nn.Module) -> int:
    """Of how many layers the weights are laid out so; for good: the models can no longer be trained, saved or merged.

    None on a processor or in a precision where it is not worth it. A weight that several layers share is laid out once
    for all of them. An output layer whose weight is the embedding as well would have to be kept twice: it stays as it
    is, and oneDNN makes its product nevertheless, which takes it less time than MKL.
    """
    if not _worth_it():
        return 0
    all_parts = [part for model in models for part in model.modules()]
    embeddings = {id(part.weight) for part in all_parts if isinstance(part, nn.Embedding)}
    can_be = [part for part in all_parts if _can_be_packed(part)]
    layers = [part for part in can_be if id(part.weight) not in embeddings]
    alike: dict[tuple[int, ...], list[tuple[nn.Module, ...]]] = {}  # by their weights
    for group in [*_groups(all_parts, layers), *((layer,) for layer in layers)]:
        alike.setdefault(tuple(id(layer.weight) for layer in group), []).append(group)
    used = Counter(id(layer.weight) for layer in layers)
    packed: set[int] = set()
    files = _let_go_of_files(all_parts, used)
    # A weight that also stands alone, as under an adapter of another model, would be kept twice in a group.
    for names, groups in alike.items():
        if packed.isdisjoint(names) and all(used[name] == len(groups) for name in names):
            packed.update(names)
            _pack_alike(groups, files)
    for part in can_be:
        if type(part) is nn.Linear and id(part.weight) in embeddings:
            part.__class__ = ByOneDNN
    return len(layers)


def _groups(parts: Sequence[nn.Module], layers: Sequence[nn.Module]) -> list[tuple[nn.Module, ...]]:
    known, found = set(map(id, layers)), []
    for part in parts:
        for names in OF_THE_SAME:
            group = tuple(getattr(part, name, None) for name in names)
            if all(id(layer) in known and type(layer) is nn.Linear for layer in group):
                found.append(group)
    return [group for group in found if len({(layer.in_features, layer.bias is None) for layer in group}) == 1]


def _let_go_of_files(parts: Sequence[nn.Module], packed: Collection[int]) -> MappedFiles:
    """Weights as they are loaded are pieces of one file in memory, which stays there whole for a single one of them:
    what will not be laid out anew is copied out of it."""
    weights = {weight for part in parts for weight in part.parameters(recurse=False)}
    files = MappedFiles(weights)
    for weight in weights:
        if id(weight) not in packed and weight.is_cpu:
            own = weight.detach().clone()
            files.give_back(weight)
            weight.data = own
    return files


def _pack_alike(groups: Sequence[tuple[nn.Module, ...]], files: MappedFiles) -> None:
    """Layers with one and the same weight, or groups of them; what they had is free afterwards."""
    first = groups[0]
    transposed = type(first[0]) is Conv1D
    weights = [layer.weight.detach().t() if transposed else layer.weight.detach() for layer in first]
    whole = weights[0].contiguous() if len(weights) == 1 else torch.cat(weights)
    packed = nn.Parameter(torch.ops.mkldnn._reorder_linear_weight(whole, ROWS), requires_grad=False)
    for layer in first:
        files.give_back(layer.weight)
    for group in groups:
        if len(group) > 1:
            _put_together(group, packed)
            continue
        (layer,) = group
        layer.weight = packed
        layer.__class__ = PackedConv1D if transposed else PackedLinear


def _put_together(group: tuple[nn.Module, ...], packed: nn.Parameter) -> None:
    bias = None if group[0].bias is None else torch.cat([layer.bias.detach() for layer in group])
    together = Together(packed, bias, [layer.out_features for layer in group])
    for place, layer in enumerate(group):
        layer.weight, layer.together, layer.place = packed, together, place
        layer.__class__ = PackedTogether


def _product(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")


@cache
def _worth_it() -> bool:
    """Known of processors with AVX-512 and of AMD's with AVX2; see processor.py for why nothing is measured here."""
    instructions = torch.backends.cpu.get_cpu_capability()
    known = instructions == "AVX512" or (instructions == "AVX2" and maker() == AMD)
    return known and torch.backends.mkldnn.is_available()


def _can_be_packed(part: nn.Module) -> bool:
    if type(part) not in (nn.Linear, Conv1D):
        return False
    weight, bias = part.weight, part.bias
    plain = weight.layout is torch.strided and weight.dtype is torch.float32 and weight.is_cpu
    return plain and min(weight.shape) >= COLUMNS and (bias is None or bias.dtype is torch.float32)
