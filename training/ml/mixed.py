"""Products in bf16 of weights that are kept, and trained, in fp32 (Micikevicius et al. 2018, section 3.1)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

HALF = torch.bfloat16


def compute_in_bf16(model: PreTrainedModel) -> None:
    """From now on the layers and the output layer of `model` multiply in bf16; states and logits come out in fp32.

    By hooks, so that every way into the model (training, evaluation, drawing) is the same one. What autocast knows to
    need more digits (softmax, norms, losses) is fp32 as before, and so are the gradients of the weights.
    """
    for part in {model.base_model, model.get_output_embeddings()} - {None}:
        part.register_forward_pre_hook(_enter)
        part.register_forward_hook(_leave, always_call=True)
    model.multiplies_in_bf16 = True


def attends_in(body: nn.Module) -> torch.dtype:
    """What attention is computed in: a mask of another type would be cast anew, and kept, by every layer."""
    return HALF if getattr(body, "multiplies_in_bf16", False) else body.dtype


@contextmanager
def cast_once(model: nn.Module) -> Iterator[None]:
    """Inside, the layers of a model that multiplies in bf16 hold their weights so, and do not cast them in every pass:
    for drawing, where a pass is a token and its weights are most of what is read. Nothing may be learned inside.

    autocast would keep what it has cast, but not in inference mode. The embedding stays what it is, also where the
    output layer has the same weights."""
    body = model.get_base_model() if hasattr(model, "get_base_model") else model
    asked = getattr(body, "multiplies_in_bf16", False)
    layers = [part for part in body.modules() if asked and isinstance(part, nn.Linear | Conv1D)]
    own = [layer.weight for layer in layers]
    try:
        for layer in layers:
            layer.weight = nn.Parameter(layer.weight.detach().to(HALF), requires_grad=False)
        yield
    finally:
        for layer, weight in zip(layers, own, strict=True):
            layer.weight = weight


def _enter(part: nn.Module, given: tuple[Any, ...]) -> None:
    context = torch.autocast(next(part.parameters()).device.type, HALF)
    context.__enter__()
    part.mixed_contexts = [*getattr(part, "mixed_contexts", []), context]


def _leave(part: nn.Module, given: tuple[Any, ...], found: Any) -> Any:
    part.mixed_contexts.pop().__exit__(None, None, None)
    if isinstance(found, torch.Tensor):
        return found.float()
    states = getattr(found, "last_hidden_state", None)
    if states is not None:
        found.last_hidden_state = states.float()
    return found
