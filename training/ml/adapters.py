"""Makes a loaded model trainable, all of it or a LoRA beside it, and proves afterwards that it has been trained."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from peft.utils.constants import SEQ_CLS_HEAD_NAMES
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from transformers.pytorch_utils import Conv1D

from training.ml.checkpoint import trainable_tensors
from training.ml.errors import ModelError
from training.recipes.adapters import AdapterConfig

TASK_TYPES = {"policy": "CAUSAL_LM", "reward": "SEQ_CLS"}  # SEQ_CLS also trains and saves the score head


def apply_adapter(model: PreTrainedModel, config: AdapterConfig, task: str) -> nn.Module:
    """The model with what `config` trains requiring a gradient, and nothing else; `task` is "policy" or "reward".

    Raises ModelError: "bad_config" for targets that the model does not have, "nothing_trained" if nothing is trainable.
    """
    model.config.use_cache = False  # training never reads it, and it costs memory
    if config.adapter == "full":
        model.requires_grad_(True)
    else:
        model = _lora(model, config, task)
    if parameter_counts(model)["trainable"] == 0:
        raise ModelError("nothing_trained", "No parameter of the model is trainable.", "Choose other target layers.")
    return model


def _lora(model: PreTrainedModel, config: AdapterConfig, task: str) -> PeftModel:
    names = config.target_names()
    if names:
        _require_targets(model, names)
    settings = LoraConfig(
        r=config.rank,
        lora_alpha=config.alpha,
        lora_dropout=config.dropout,
        target_modules=list(names) if names else "all-linear",
        task_type=TASK_TYPES[task],
    )
    return get_peft_model(model, settings)


def _require_targets(model: PreTrainedModel, names: tuple[str, ...]) -> None:
    heads = [model.get_output_embeddings(), *(getattr(model, head, None) for head in SEQ_CLS_HEAD_NAMES)]
    inner = [name for name, part in model.named_modules() if isinstance(part, nn.Linear | Conv1D) and part not in heads]
    linear = {name.rpartition(".")[2] for name in inner}
    unknown = [name for name in names if name.rpartition(".")[2] not in linear]
    if unknown:
        raise ModelError(
            "bad_config",
            f"targets: the model has no linear layer named {', '.join(unknown)}.",
            f"Its linear layers are: {', '.join(sorted(linear))}.",
        )


@contextmanager
def adapter_off(model: PeftModel) -> Iterator[PeftModel]:
    """The model as it was before the adapter: the frozen reference, without a second copy in memory."""
    with model.disable_adapter():
        yield model


def parameter_counts(model: nn.Module) -> dict[str, int]:
    """{"total", "trainable"}; tied weights are counted once."""
    sizes = [(weight.numel(), weight.requires_grad) for weight in model.parameters()]
    return {"total": sum(n for n, _ in sizes), "trainable": sum(n for n, trained in sizes if trained)}


def trainable_hash(model: nn.Module) -> str:
    """SHA-256 over names and bytes of the trainable weights."""
    whole = hashlib.sha256()
    for name, weight in sorted(trainable_tensors(model).items()):
        whole.update(name.encode() + b"\0")
        whole.update(weight.view(-1).view(torch.uint8).numpy())
    return whole.hexdigest()


def require_change(model: nn.Module, before: str) -> None:
    """Raises ModelError("nothing_trained") if the trainable weights still have the hash they started with."""
    if trainable_hash(model) == before:
        raise ModelError(
            "nothing_trained",
            "The run ended with the weights it started with: not one of them has changed.",
            "Raise the learning rate or the number of epochs.",
        )


def save_weights(model: nn.Module, tokenizer: PreTrainedTokenizerBase, directory: Path) -> None:
    """Write tokenizer and weights as safetensors: the adapter in PEFT's format, or the whole model as a directory."""
    tokenizer.save_pretrained(directory)
    if isinstance(model, PeftModel):
        model.save_pretrained(directory, save_embedding_layers=False)
        return
    model.config.use_cache = True
    model.save_pretrained(directory)
