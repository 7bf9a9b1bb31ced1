"""Makes a loaded model trainable by any of the adapter methods, and proves afterwards that it has been trained."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from peft import PeftModel, get_peft_model
from peft.utils import ModulesToSaveWrapper
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from training.ml.adapter_ensemble import with_members
from training.ml.adapter_files import base_facts, save_adapter
from training.ml.adapter_settings import peft_settings, require_place
from training.ml.checkpoint import trainable_tensors
from training.ml.errors import ModelError
from training.ml.first_prefix import begin_as_words
from training.ml.frozen_norm import norm_in_few_passes
from training.ml.lean_attention import attend_lean
from training.ml.low_rank import add_as_computed
from training.ml.quantised import is_quantised, numel, quantise
from training.ml.selective import select
from training.recipes.adapters import OWN_WEIGHTS, AdapterConfig
from training.recipes.words import gettext_noop


def apply_adapter(model: PreTrainedModel, config: AdapterConfig, task: str) -> nn.Module:
    """The model with what `config` trains requiring a gradient, and nothing else; `task` is "policy" or "reward".

    Raises ModelError: "bad_config" for targets that the model does not have, "unsupported_model" and "no_biases" for a
    method that has no place in it, "nothing_trained" if nothing is trainable.
    """
    require_place(model, config)
    model.config.use_cache = False  # training never reads it, and it costs memory
    facts = base_facts(model, config.adapter)
    if config.adapter == "full":
        model.requires_grad_(True)
    elif config.adapter in OWN_WEIGHTS:
        model = select(model, config)
    else:
        if config.adapter == "qlora" and not is_quantised(model):
            quantise(model)
        model = get_peft_model(model, peft_settings(model, config, task))
        add_as_computed(model, getattr(config, "parallel", "ddp"))
        if getattr(config, "separate_adapters", 1) > 1:
            with_members(model, config.separate_adapters, config.gradient_checkpointing, config.parallel)
        if config.adapter == "p_tuning_v2":
            begin_as_words(model)
    norm_in_few_passes(model, getattr(config, "parallel", "ddp"))
    attend_lean(model)
    model.made_for = facts
    if parameter_counts(model)["trainable"] == 0:
        raise ModelError(
            "nothing_trained",
            gettext_noop("No parameter of the model is trainable."),
            gettext_noop("Choose other target layers."),
        )
    return model


@contextmanager
def adapter_off(model: nn.Module) -> Iterator[nn.Module]:
    """The model as it was before the adapter: the frozen reference, without a second copy in memory."""
    if not isinstance(model, PeftModel):
        off = model.selection.off()
    elif model.active_peft_config.is_prompt_learning:
        off = _virtual_tokens_off(model)
    else:
        off = model.disable_adapter()
    with off:
        yield model


@contextmanager
def _virtual_tokens_off(model: PeftModel) -> Iterator[None]:
    """PEFT's own way fails for a classifier, and would leave a trained head where it is; `forward.inputs` asks the
    flag."""
    heads = [part for part in model.modules() if isinstance(part, ModulesToSaveWrapper) and not part.disable_adapters]
    model._adapters_disabled = True
    for head in heads:
        head.enable_adapters(False)
    try:
        yield
    finally:
        model._adapters_disabled = False
        for head in heads:
            head.enable_adapters(True)


def parameter_counts(model: nn.Module) -> dict[str, int]:
    """{"total", "trainable"}; tied weights are counted once."""
    sizes = [(numel(weight), weight.requires_grad) for weight in model.parameters()]
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
            gettext_noop("The run ended with the weights it started with: not one of them has changed."),
            gettext_noop("Raise the learning rate or the number of epochs."),
        )


def save_weights(model: nn.Module, tokenizer: PreTrainedTokenizerBase, directory: Path) -> None:
    """Write tokenizer and weights as safetensors: the adapter alone, or the whole model as a directory."""
    tokenizer.save_pretrained(directory)
    if isinstance(model, PeftModel) or hasattr(model, "selection"):
        save_adapter(model, directory)
        return
    model.config.use_cache = True
    model.save_pretrained(directory)
