"""What a loaded model keeps of a batch between its forward and its backward pass."""

from __future__ import annotations

from typing import Any

from torch import nn
from transformers.pytorch_utils import Conv1D

from training.recipes import kept


def kept_bytes(model: nn.Module, config: Any, tokens: int, itemsize: int) -> int:
    """As training/recipes/kept.py counts it, by the sizes in the model's config."""
    body = model.get_base_model() if hasattr(model, "get_base_model") else model
    known = body.config.get_text_config()
    inner = getattr(known, "intermediate_size", None) or getattr(known, "n_inner", None) or 4 * known.hidden_size
    sizes = {"layers": known.num_hidden_layers, "width": known.hidden_size, "inner": inner}
    transposed = any(isinstance(part, Conv1D) for part in body.modules())
    return kept.kept_bytes(config, tokens, itemsize, **sizes, vocabulary=known.vocab_size, transposed=transposed)
