"""Attention of many tokens without what a CPU need not do: rotations in few passes, and grouped-query attention
(Ainslie et al. 2023) without keys and values repeated for the heads that share them."""

from __future__ import annotations

from functools import cache
from types import FunctionType
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface

from training.ml.rotation import in_few_passes
from training.recipes.shared_rows import is_worth_its_mask

# Of the families of `shared_rows.GROUPED_QUERY`. Their layers turn feature i of a head together with feature
# i + width / 2, and take their kernel by name (tests/training/ml/test_lean_attention.py).
KINDS = frozenset(
    f"{family}Attention" for family in ("Llama", "Mistral", "Qwen2", "Qwen3", "Gemma", "SmolLM3", "Starcoder2")
)

# What the kernel of transformers knows besides: a bias of positions, and the cache of `generate_batch`, which it fills.
UNKNOWN = ("position_bias", "cache")


def attend_lean(model: nn.Module) -> None:
    """Every layer of attention that is known here."""
    for part in model.modules():
        if type(part).__name__ in KINDS:
            part.__class__ = _kind_of(type(part))


class LeanAttention:
    """Marks the layers whose code is their own class's but for two of the names in it."""


@cache
def _kind_of(own: type[nn.Module]) -> type[nn.Module]:
    forward = own.forward
    names = forward.__globals__
    rotate, kernels = names["apply_rotary_pos_emb"], names["ALL_ATTENTION_FUNCTIONS"]
    names = {**names, "apply_rotary_pos_emb": in_few_passes(rotate), "ALL_ATTENTION_FUNCTIONS": _Kernels(kernels)}
    mine = FunctionType(forward.__code__, names, forward.__name__, forward.__defaults__, forward.__closure__)
    mine.__kwdefaults__ = forward.__kwdefaults__
    return type(f"Lean{own.__name__}", (LeanAttention, own), {"forward": mine})


class _Kernels:
    """What layers look their kernel up in."""

    def __init__(self, own: AttentionInterface) -> None:
        self.own = own

    def get_interface(self, name: str, default: Any) -> Any:
        found = self.own.get_interface(name, default)
        return _grouped_query(found) if name == "sdpa" else found


@cache
def _grouped_query(own: Any) -> Any:
    """`own` stays where there is nothing to be repeated, or no mask that says who sees whom."""

    def attend(
        module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **more: Any
    ) -> tuple[Tensor, None]:
        """As transformers calls it: query [rows, heads, tokens, width], key and value [rows, key heads, seen, width],
        mask [rows, 1, tokens, seen]. Returns [rows, tokens, heads, width]."""
        (rows, heads, tokens, width), of_keys = query.shape, key.shape[1]
        masked = attention_mask is not None and attention_mask.shape[1:3] == (1, tokens)
        group = heads // of_keys
        plain = query.is_cpu and not more.get("dropout") and all(more.get(name) is None for name in UNKNOWN)
        if not (masked and plain and group > 1 and tokens > 1) or attention_mask.requires_grad:
            return own(module, query, key, value, attention_mask, **more)
        if not is_worth_its_mask(tokens, heads, of_keys, width, learning=torch.is_grad_enabled()):
            return own(module, query, key, value, attention_mask, **more)
        found = nn.functional.scaled_dot_product_attention(
            query.reshape(rows, of_keys, group * tokens, width),  # one long query of all heads that share keys
            key,
            value,
            attn_mask=_for_groups(attention_mask, group, query.dtype),
            scale=more.get("scaling"),
        )
        found = found.unflatten(2, (group, tokens)).permute(0, 3, 1, 2, 4)
        return found.reshape(rows, tokens, heads, width), None

    return attend


def _for_groups(mask: Tensor, group: int, dtype: torch.dtype) -> Tensor:
    """[rows, 1, group * tokens, seen], to be added; made once for all layers, which are given the same mask. It is made
    anew for another group or precision, for a mask that has been changed since, and for one that autograd may keep."""
    # Of tensors of inference mode torch does not count the changes; nor does anything change a mask there.
    changes = None if mask.is_inference() else mask._version
    made_for = (group, dtype if mask.dtype == torch.bool else mask.dtype, changes, torch.is_inference_mode_enabled())
    known = getattr(mask, "for_groups", None)
    if known is None or known[0] != made_for:
        added = mask
        if mask.dtype == torch.bool:
            added = torch.zeros(mask.shape, dtype=dtype).masked_fill_(~mask, -torch.inf)
        known = mask.for_groups = made_for, added.repeat(1, 1, group, 1)
    return known[1]
