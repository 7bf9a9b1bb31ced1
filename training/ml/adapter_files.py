"""Adapters on disk: what is written of one, whether it fits a model, and how it is put onto it."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import torch
from peft import (
    PeftModel,
    PrefixTuningConfig,
    get_peft_model,
    get_peft_model_state_dict,
    set_peft_model_state_dict,
)
from peft.tuners.tuners_utils import BaseTunerLayer
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import PreTrainedModel

from training.ml import houlsby  # also registers the tuner that PEFT reads such an adapter with
from training.ml.adapter_ensemble import attach_members, members_not_mergeable, save_members
from training.ml.errors import ModelError
from training.ml.houlsby import not_mergeable
from training.ml.low_rank import add_as_computed
from training.ml.origin import MADE_FOR, WEIGHTS, made_for, method_of
from training.ml.quantised import dequantise, is_quantised, quantise
from training.ml.scoring import members_of
from training.ml.selective import Selection, put_back
from training.ml.weights_mark import weights_mark
from training.recipes.adapters import OWN_WEIGHTS
from training.recipes.words import gettext_noop

PROMPT_ENCODER = "prompt_encoder.safetensors"


def base_facts(model: PreTrainedModel, method: str) -> dict[str, Any]:
    """What a model must share with the one that an adapter was made for."""
    config = model.config.get_text_config()
    facts = {"model_type": model.config.model_type, "vocabulary": config.vocab_size}
    facts |= {"width": config.hidden_size, "layers": config.num_hidden_layers}
    mark = weights_mark(model.config)
    return {"format": 1, "method": method, **facts, **({"weights": mark} if mark else {})}


def save_adapter(model: nn.Module, directory: Path) -> None:
    """Write what has been trained, PEFT's files or the selected weights, and beside them `made_for.json`. Of virtual
    tokens also what makes them: PEFT keeps only the outcome, and could never train it on."""
    (directory / MADE_FOR).write_text(json.dumps(model.made_for, indent=1) + "\n", encoding="utf-8")
    selection = getattr(model, "selection", None)
    if isinstance(selection, Selection):
        save_file(selection.tensors(), directory / WEIGHTS)
        return
    model.save_pretrained(directory, save_embedding_layers=False, selected_adapters=[model.active_adapter])
    if members_of(model):
        save_members(model, directory)
    if model.active_peft_config.is_prompt_learning:
        encoder = model.prompt_encoder[model.active_adapter].state_dict()
        tensors = {name: weight.detach().cpu().contiguous() for name, weight in encoder.items()}
        save_file(tensors, directory / PROMPT_ENCODER)


def attach(model: PreTrainedModel, directory: Path) -> nn.Module:
    """`model` with the adapter at work, as it was when it was trained: beside 4-bit weights if it was trained so.

    Raises ModelError("wrong_base") if the adapter was made for another model.
    """
    facts = made_for(directory)
    if facts:
        _require_same(directory, facts, base_facts(model, facts["method"]))
    if method_of(directory) in OWN_WEIGHTS:
        return _attach_selected(model, directory)
    if method_of(directory) == "qlora":
        quantise(model)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Found missing adapter keys")  # refused below, with the reason
            attached = PeftModel.from_pretrained(model, directory)
    except (RuntimeError, ValueError) as error:
        raise _wrong_base(directory, str(error).strip().splitlines()[-1].strip()) from error
    _require_whole(attached, directory)
    try:
        attach_members(attached, directory)
    except ValueError as error:
        raise _wrong_base(directory, str(error)) from error
    attached.made_for = facts
    add_as_computed(attached)  # as it is evaluated after its training
    return attached


def settled(model: nn.Module) -> nn.Module:
    """The model for use as it is: merged where that changes nothing but the speed. It would in bf16: beside the weights
    the adapter is in fp32, as it was trained and evaluated, and in them most of what it has learned is rounded away
    (scores moved by 7 % of their deviation)."""
    stays = not isinstance(model, PeftModel) or _must_stay(model) or _in_4bit(model) or not _in_full(model)
    return model if stays else merged(model)


def merged(model: nn.Module) -> PreTrainedModel:
    """A plain model that computes the same: the adapter, if there is one, in the weights. The sum is made in the
    adapter's precision, fp32, and rounded once where the weights are kept in less: what is trained on top begins beside
    what was evaluated (`fallbacks.py` says so).

    Raises ModelError("adapter_not_mergeable").
    """
    if not isinstance(model, PeftModel):
        return model
    settings = model.active_peft_config
    if members_of(model):
        raise members_not_mergeable()
    if _must_stay(model):
        raise not_mergeable(model.made_for.get("method") or settings.peft_type.value)
    if not _in_4bit(model):
        return model.merge_and_unload()
    state = get_peft_model_state_dict(model, save_embedding_layers=False)
    plain = get_peft_model(dequantise(model.unload()), settings)
    set_peft_model_state_dict(plain, state)
    return plain.merge_and_unload()


def _must_stay(model: PeftModel) -> bool:
    settings = model.active_peft_config
    return settings.is_prompt_learning or settings.peft_type == houlsby.NAME or members_of(model) is not None


def _in_full(model: PeftModel) -> bool:
    """Whether what the adapter changes is kept in fp32."""
    changed = [layer for layer in model.modules() if isinstance(layer, BaseTunerLayer)]
    return all(layer.get_base_layer().weight.dtype == torch.float32 for layer in changed)


def _in_4bit(model: PeftModel) -> bool:
    return is_quantised(model.get_base_model())


def _attach_selected(model: PreTrainedModel, directory: Path) -> PreTrainedModel:
    try:
        put_back(model, load_file(directory / WEIGHTS))
    except (KeyError, ValueError) as error:
        raise _wrong_base(directory, str(error)) from error
    return model


def _require_same(directory: Path, wanted: dict[str, Any], found: dict[str, Any]) -> None:
    for name, value in wanted.items():
        if name == "weights":  # not known of every place
            if found.get(name, value) != value:
                raise _other_weights(directory)
        elif found.get(name) != value:
            raise _wrong_base(directory, f"{name}: {value}, {found.get(name)}")


def _require_whole(model: PeftModel, directory: Path) -> None:
    """PEFT passes over weights that have no place, and leaves those that are missing as they were drawn; of virtual
    tokens it takes any number of layers and any width."""
    settings, config = model.active_peft_config, model.get_base_model().config.get_text_config()
    if settings.is_prompt_learning:
        width, heads = config.hidden_size, config.num_attention_heads
        if isinstance(settings, PrefixTuningConfig):  # keys and values, of which there may be fewer than queries
            size = getattr(config, "head_dim", None) or width // heads
            width = size * (getattr(config, "num_key_value_heads", None) or heads)
        if (settings.num_layers, settings.token_dim) != (config.num_hidden_layers, width):
            raise _wrong_base(directory, f"{settings.num_layers} × {settings.token_dim}")
    with safe_open(directory / WEIGHTS, framework="pt") as file:
        saved = set(file.keys())
    odd = sorted(saved ^ set(get_peft_model_state_dict(model, save_embedding_layers=False)))
    if odd:
        raise _wrong_base(directory, odd[0])


def _other_weights(directory: Path) -> ModelError:
    return ModelError(
        "wrong_base",
        gettext_noop("The model on which the adapter %(directory)s was trained has other weights now."),
        gettext_noop("Put the weights back as they were, or register the changed model anew and train on it."),
        directory=directory,
    )


def _wrong_base(directory: Path, why: str) -> ModelError:
    return ModelError(
        "wrong_base",
        gettext_noop("The adapter %(directory)s was made for another model than this one (%(why)s)."),
        gettext_noop("Use it with the model it was trained on."),
        directory=directory,
        why=why,
    )
