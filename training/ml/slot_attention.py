"""Attention of one new token of each text to what that text has so far, on a CPU.

torch's kernel is made for many queries a text. With one, the products are of a few rows, and what decides is how keys
and values lie: keys token by token, values feature by feature, so that both are read along the memory
(training/ml/slots.py keeps them so).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface

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
    texts, heads, _, width = query.shape
    of_keys, tokens = key.shape[1:3]
    rows, group = texts * of_keys, heads // of_keys  # neighbouring heads look at the same keys
    added = attention_mask.expand(texts, of_keys, 1, tokens).reshape(rows, 1, tokens)
    asked = query.reshape(rows, group, width)
    scale = width**-0.5 if scaling is None else scaling
    weights = torch.baddbmm(added, asked, key.flatten(0, 1).transpose(1, 2), alpha=scale).softmax(dim=-1)
    found = torch.bmm(value.flatten(0, 1).transpose(1, 2), weights.transpose(1, 2))  # [rows, width, group]
    return found.transpose(1, 2).reshape(texts, 1, heads, width), None


AttentionInterface.register(ONE_TOKEN, one_token)


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
