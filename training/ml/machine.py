"""Settles how a model is computed while it is trained (attention, gradient checkpointing), and says it for the page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from training.ml import flash, launched
from training.ml.activations import kept_bytes
from training.ml.device import Device
from training.ml.errors import ModelError
from training.ml.forward import loses_the_prefix
from training.ml.loop import Item
from training.ml.mixed import HALF
from training.ml.precision import Mixed
from training.ml.prompt_data import AskedPrompt
from training.ml.row_attention import how_prompts_are_read
from training.ml.scoring import members_of
from training.recipes.adapters import KEYS_BEFORE_THE_TEXT
from training.recipes.machine import OPTIMIZER_BYTES, ROOM, MachineConfig, MemoryConfig
from training.recipes.words import gettext_noop


def body_of(model: nn.Module) -> PreTrainedModel:
    """Without what PEFT puts around it."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def settle(
    model: nn.Module, config: MachineConfig, device: Device, items: Sequence[Item], rows: int, *, to_come: int = 0
) -> dict[str, Any]:
    """Set attention and gradient checkpointing of a model about to be trained on `items`, each of which is `rows`
    sequences; models of `to_come` bytes are loaded beside it only later. Returns what the manifest and the page say of
    it. Raises ModelError("bad_config")."""
    body = body_of(model)
    if flash.flash_fits(device) and body._supports_flash_attn:
        body.set_attn_implementation(flash.NAME)
    tokens = rows * config.batch_size * max(item.length for item in items)
    if checkpointing := wants_checkpointing([model], config, device, tokens, to_come):
        # Without re-entering autograd: then also what comes before the first trained weight may be frozen.
        body.activation_checkpointing_enable(activation_checkpointing_kwargs={"use_reentrant": False})
        body.disable_input_require_grads()  # for re-entering alone: gradients would go through all that is frozen
    return {**facts_of(model, device), "gradient_checkpointing": checkpointing}


def settle_drawn(
    policy: nn.Module,
    config: MemoryConfig,
    device: Device,
    prompts: Sequence[AskedPrompt],
    beside: Sequence[nn.Module] = (),
) -> dict[str, Any]:
    """As `settle` of a policy that learns from its own responses, at most one `batch_size` of them at a time, and of
    the models that learn `beside` it, which must be loaded by now. Attention stays SDPA, which drawing asks for.
    Gradient checkpointing applies only to the models being trained, and only while they train (`computed_twice.py`)."""
    tokens = config.batch_size * (max(prompt.length for prompt in prompts) + config.max_new_tokens)
    checkpointing = wants_checkpointing([policy, *beside], config, device, tokens)
    return {**facts_of(policy, device), "gradient_checkpointing": checkpointing}


def facts_of(model: nn.Module, device: Device) -> dict[str, Any]:
    """Device, precision and why, attention, how shared prompts are read, and the number of processes."""
    body = body_of(model)
    return {
        "device": device.name,
        "precision": device.precision,
        "precision_reason": device.reason,
        "attention": body.config._attn_implementation,
        "prompts": how_prompts_are_read(model),
        "processes": launched.processes(),
    }


def wants_checkpointing(
    models: Sequence[nn.Module], config: MemoryConfig, device: Device, tokens: int, to_come: int = 0
) -> bool:
    """As `config` asks; by itself only on a GPU that the largest batch, of so many `tokens`, would not fit otherwise,
    beside the bytes `to_come`.
    Models that learn in turns have their optimizer beside them all the time, and what a batch keeps one at a time.
    Raises ModelError("bad_config") where it is asked for and a model or its adapter cannot do it."""
    loses = getattr(config, "adapter", None) in KEYS_BEFORE_THE_TEXT
    if config.gradient_checkpointing == "on" and loses:
        raise loses_the_prefix()
    lacking = [body for body in map(body_of, models) if not body.supports_gradient_checkpointing]
    if config.gradient_checkpointing == "on" and lacking:
        raise ModelError(
            "bad_config",
            gettext_noop("Gradient checkpointing: transformers does not offer it for this model (%(model)s)."),
            gettext_noop("Switch gradient checkpointing off, and use smaller batches or an adapter."),
            model=lacking[0].config.model_type,
        )
    if config.gradient_checkpointing != "auto":
        return config.gradient_checkpointing == "on"
    if device.torch_device.type != "cuda" or loses or lacking or members_of(models[0]):
        return False
    trained = sum(weight.numel() for weight in nn.ModuleList(models).parameters() if weight.requires_grad)
    kept = max(kept_bytes(model, config, tokens, device.dtype.itemsize) for model in models)
    wanted = kept + OPTIMIZER_BYTES * trained + _copied(models, config, device)
    torch.cuda.empty_cache()  # what loading has left behind counts as taken
    return wanted > ROOM * (torch.cuda.mem_get_info()[0] - to_come)


def _copied(models: Sequence[nn.Module], config: Any, device: Device) -> int:
    """Bytes of the copies in bf16 that products of weights in fp32 keep until their backward pass."""
    if not isinstance(device, Mixed):
        return 0
    own = getattr(config, "adapter", None) == "last_layers"
    copied = [
        [one for one in model.parameters() if one.dtype != HALF and (one.requires_grad or not own)] for model in models
    ]
    return HALF.itemsize * max(sum(weight.numel() for weight in weights) for weights in copied)
