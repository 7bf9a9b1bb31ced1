"""Attention of one new token of each text to what that text has so far, on a CPU.

torch's kernel is made for many queries a text. With one, the products are of a few rows, and what decides is how keys
and values lie in memory, which training/ml/slots.py asks here.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface

from training.ml.processor import INTEL, maker

ONE_TOKEN = "one_token"


def one_token(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor,
    scaling: float | None = None,
    **_: object,
) -> tuple[Tensor, None]:
    """As transformers calls its kernels: query [texts, heads, 1, width], key and value [texts, key heads, tokens,
    width], the mask [texts, 1, 1, tokens] to be added. Returns [texts, 1, heads, width]."""
    asked = query[:, :, 0] * (query.shape[-1] ** -0.5 if scaling is None else scaling)
    return attended(asked, key, value, attention_mask)[:, None], None


def attended(query: Tensor, key: Tensor, value: Tensor, mask: Tensor, since: int = 0) -> Tensor:
    """The same of queries [texts, heads, width] that are scaled, and a mask of the tokens from `since` on. Returns
    [texts, heads, width]."""
    texts, heads, width = query.shape
    of_keys, tokens = key.shape[1:3]
    rows, group = texts * of_keys, heads // of_keys  # neighbouring heads look at the same keys
    asked = query.reshape(rows, group, width)
    weights = torch.bmm(asked, key.flatten(0, 1).transpose(1, 2)).view(texts, of_keys, group, tokens)
    weights[..., since:].add_(mask)
    weights = weights.softmax(dim=-1).view(rows, group, tokens)
    if value.stride(3) == 1:
        found = torch.bmm(weights, value.flatten(0, 1))
    else:
        found = torch.bmm(value.flatten(0, 1).transpose(1, 2), weights.transpose(1, 2)).transpose(1, 2)
    return found.reshape(texts, heads, width)


AttentionInterface.register(ONE_TOKEN, one_token)


def kept_by_feature(device: torch.device) -> tuple[bool, bool]:
    """Of keys and of values, whether they lie feature by feature, each feature's tokens side by side, and not token by
    token. MKL makes products of few rows fastest where neither side is turned on Intel's processors, and where both
    are read along the memory on AMD's (docs/performance.md)."""
    if device.type != "cpu":
        return False, False
    return (True, False) if maker() == INTEL else (False, True)


@contextmanager
def one_token_each(body: nn.Module) -> Iterator[None]:
    """Within it the model's layers attend so."""
    config: Any = body.config
    own = config._attn_implementation
    config._attn_implementation = ONE_TOKEN
    try:
        yield
    finally:
        config._attn_implementation = own
