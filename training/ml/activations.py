"""Estimates what a batch keeps in memory between its forward and its backward pass."""

from __future__ import annotations

from torch import nn

from training.recipes.machine import LOGIT_BYTES


def kept_bytes(model: nn.Module, tokens: int, itemsize: int) -> int:
    """Bytes kept for `tokens` positions, padding included, `itemsize` bytes a number, without gradient checkpointing.

    tokens * (layers * itemsize * (10 width + 4 inner) + LOGIT_BYTES * vocabulary), after Korthikanti et al. 2022
    (Reducing Activation Recomputation in Large Transformer Models, section 4.1): of a layer the inputs of two norms
    and what they give, queries, keys, values, the attention's and the layer's outputs, and of a gated feed-forward
    both inner products, the activation and their product. The attention matrix is not kept by SDPA and flash attention.
    """
    body = model.get_base_model() if hasattr(model, "get_base_model") else model
    config = body.config.get_text_config()
    width = config.hidden_size
    inner = getattr(config, "intermediate_size", None) or getattr(config, "n_inner", None) or 4 * width
    layers = config.num_hidden_layers * itemsize * (10 * width + 4 * inner)
    return tokens * (layers + LOGIT_BYTES * config.vocab_size)
