"""A model whose linear layers are kept in 4 bits (NF4 with double quantisation; Dettmers et al. 2023, QLoRA)."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from types import ModuleType

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from training.ml.errors import ModelError
from training.recipes.words import gettext_noop


def quantise(model: PreTrainedModel) -> PreTrainedModel:
    """Put every linear layer of the blocks into NF4, in place; embeddings, norms and heads stay as they are.

    On the device where the model is: quantised before it goes to a GPU, only the small copy has to fit there. Products
    are computed in the precision the model has now. Raises ModelError("unsupported_model").
    """
    if any(isinstance(part, Conv1D) for part in model.modules()):
        raise ModelError(
            "unsupported_model",
            gettext_noop("%(model)s has layers of the kind Conv1D, which cannot be kept in 4 bits."),
            gettext_noop("Choose lora."),
            model=type(model).__name__,
        )
    bnb = bitsandbytes()
    head = model.get_output_embeddings()
    for parent, name, layer in list(_linear(model)):
        if layer is not head and name not in ("score", "classifier"):
            setattr(parent, name, _packed(bnb, layer))
    _let_go_of_the_file(model)
    model.is_loaded_in_4bit = True  # PEFT and TRL ask for it by this name
    return model


def dequantise(model: PreTrainedModel) -> PreTrainedModel:
    """The same function in full precision: what the 4 bits stand for, as plain linear layers, in place.

    An adapter is merged into these weights and not into those before quantisation, which it has never seen: the logits
    stay what they were.
    """
    for parent, name, layer in list(_linear(model)):
        if is_packed(layer):
            setattr(parent, name, _unpacked(layer))
    model.is_loaded_in_4bit = False
    return model


def is_quantised(model: nn.Module) -> bool:
    return bool(getattr(model, "is_loaded_in_4bit", False))


def is_packed(layer: nn.Module) -> bool:
    return getattr(layer.weight, "quant_state", None) is not None or hasattr(layer.weight, "bnb_quantized")


def numel(weight: torch.Tensor) -> int:
    """Numbers in a weight; two of them share a byte in a packed one."""
    state = getattr(weight, "quant_state", None)
    return weight.numel() if state is None else state.shape.numel()


def bitsandbytes() -> ModuleType:
    """The library; it exists for Linux and Windows. Raises ModelError("not_installed")."""
    try:
        return importlib.import_module("bitsandbytes")
    except ImportError as error:
        raise ModelError(
            "not_installed",
            gettext_noop("4-bit weights need the package bitsandbytes, which this machine does not have."),
            gettext_noop("Install it, or choose lora."),
        ) from error


def _linear(model: nn.Module) -> Iterator[tuple[nn.Module, str, nn.Linear]]:
    for parent in model.modules():
        for name, layer in parent.named_children():
            if isinstance(layer, nn.Linear):
                yield parent, name, layer


def _packed(bnb: ModuleType, layer: nn.Linear) -> nn.Linear:
    settings = {"compress_statistics": True, "quant_type": "nf4"}
    with torch.device("meta"):
        packed = bnb.nn.Linear4bit(
            layer.in_features,
            layer.out_features,
            bias=layer.bias is not None,
            compute_dtype=layer.weight.dtype,
            **settings,
        )
    weight = layer.weight.detach()
    packed.weight = bnb.nn.Params4bit(weight, requires_grad=False, module=packed, **settings).to(weight.device)
    packed.bias = None if layer.bias is None else nn.Parameter(layer.bias.detach(), requires_grad=False)
    # On some CPUs it would compute in bf16 as soon as the model is in eval mode, and without a gradient: a score would
    # not be the same in training and in evaluation.
    packed.support_avx512bf16_for_cpu = False
    return packed


def _let_go_of_the_file(model: nn.Module) -> None:
    """What was not packed is a view of the file as it was loaded, and one such view keeps the whole file in memory."""
    for weight in model.parameters():
        if getattr(weight, "quant_state", None) is None:
            weight.data = weight.data.clone()


def _unpacked(layer: nn.Linear) -> nn.Linear:
    weight = (
        bitsandbytes().functional.dequantize_4bit(layer.weight.data, layer.weight.quant_state).to(layer.compute_dtype)
    )
    with torch.device("meta"):
        plain = nn.Linear(layer.in_features, layer.out_features, bias=layer.bias is not None)
    plain.weight = nn.Parameter(weight, requires_grad=False)
    plain.bias = layer.bias
    return plain
