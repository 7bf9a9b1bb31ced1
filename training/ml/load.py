"""Loads policies, reward models and tokenizers from a directory, a hub id or a GGUF file, with adapters merged in."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path

import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from training.ml import origin
from training.ml.artifact import read_manifest, verify_artifact
from training.ml.convert import converted
from training.ml.device import Device
from training.ml.errors import ModelError
from training.ml.job import ModelSpec

# Never unpickled, never run: a model is data.
SAFE = {"use_safetensors": True, "trust_remote_code": False}


def load_tokenizer(
    spec: ModelSpec, *, cache: Path, on_convert: Callable[[], None] = lambda: None
) -> PreTrainedTokenizerBase:
    """The base model's tokenizer. Without a pad token EOS pads (attention masks tell the two apart everywhere).

    Raises ModelError: "unknown_model", "no_eos".
    """
    base = resolve(spec.base, cache, on_convert)
    with origin.load_errors(spec.base):
        tokenizer = AutoTokenizer.from_pretrained(base, trust_remote_code=False)
    if tokenizer.eos_token_id is None:
        raise ModelError(
            "no_eos",
            f"The tokenizer of {spec.base} has no end-of-sequence token, so a response could never end.",
            "Choose another model, or set eos_token in its tokenizer_config.json.",
        )
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def load_policy(
    spec: ModelSpec, *, cache: Path, device: Device, on_convert: Callable[[], None] = lambda: None
) -> PreTrainedModel:
    """The base with ALL its adapters merged in, in order: a plain causal LM in eval mode, on the device.

    A training recipe puts its own fresh adapter on top of it.
    Raises ModelError: "unknown_model", "not_causal_lm", "pickle_only", "broken_artifact", "adapter_not_mergeable".
    """
    base = resolve(spec.base, cache, on_convert)
    with origin.load_errors(spec.base):
        origin.require_causal_lm(spec.base, AutoConfig.from_pretrained(base, trust_remote_code=False))
        model = AutoModelForCausalLM.from_pretrained(base, dtype=device.dtype, **SAFE)
    return _with_adapters(model, spec.adapters).to(device.torch_device).eval()


def load_reward_base(
    spec: ModelSpec, *, cache: Path, device: Device, on_convert: Callable[[], None] = lambda: None
) -> PreTrainedModel:
    """A classifier with one output: the policy of `spec` as its body, and a new head (from torch's RNG: seed it)."""
    policy = load_policy(spec, cache=cache, device=device, on_convert=on_convert)
    config = policy.config
    config.num_labels = 1
    with torch.device("meta"):
        model = AutoModelForSequenceClassification.from_config(config)
    setattr(model, model.base_model_prefix, policy.base_model)
    model.score = torch.nn.Linear(model.score.in_features, 1, bias=False)
    torch.nn.init.normal_(model.score.weight, std=getattr(config, "initializer_range", 0.02))
    # The head stays in fp32: scores of a body in bf16 would otherwise come in steps as coarse as their differences.
    return model.to(device.torch_device).eval()


def load_reward_model(
    spec: ModelSpec, *, cache: Path, device: Device, on_convert: Callable[[], None] = lambda: None
) -> PreTrainedModel:
    """A trained reward model: its last adapter is a reward adapter (head included), or its base is a full reward model.

    Raises as load_policy does, and ModelError("not_reward_model").
    """
    if not spec.adapters:
        return _full_reward_model(spec, cache, device)
    *earlier, last = spec.adapters
    if read_manifest(Path(last)).get("task") != "reward":
        raise _not_reward_model(last)
    model = load_reward_base(ModelSpec(spec.base, tuple(earlier)), cache=cache, device=device, on_convert=on_convert)
    return _with_adapters(model, (last,)).to(device.torch_device).eval()


def resolve(base: str, cache: Path, on_convert: Callable[[], None] = lambda: None) -> str:
    """What from_pretrained is given for `base`: directory or hub id. Raises "unknown_model", "pickle_only"."""
    path = Path(base).expanduser()
    if path.is_file() and path.suffix.lower() == ".gguf":
        return str(converted(path, cache, on_convert))
    if path.is_dir():
        origin.require_safetensors(path)
        return str(path)
    origin.require_hub_id(base)
    return base


def _full_reward_model(spec: ModelSpec, cache: Path, device: Device) -> PreTrainedModel:
    base = resolve(spec.base, cache)
    with origin.load_errors(spec.base):
        config = AutoConfig.from_pretrained(base, trust_remote_code=False)
        names = config.architectures or []
        if not any(name.endswith("ForSequenceClassification") for name in names) or config.num_labels != 1:
            raise _not_reward_model(spec.base)
        model = AutoModelForSequenceClassification.from_pretrained(base, dtype=device.dtype, **SAFE)
    return model.to(device.torch_device).eval()


def _with_adapters(model: PreTrainedModel, adapters: tuple[str, ...]) -> PreTrainedModel:
    if not adapters:
        return model
    # peft takes seconds to import, and the first sample of a bare model should not wait for it.
    peft = importlib.import_module("peft")
    for adapter in map(Path, adapters):
        origin.require_adapter(adapter)
        verify_artifact(adapter)
        if peft.PeftConfig.from_pretrained(adapter).is_prompt_learning:
            raise ModelError(
                "adapter_not_mergeable",
                f"The adapter {adapter} is made of virtual tokens, which cannot be merged into the model.",
                "Choose a model trained with LoRA, or train in full.",
            )
        model = peft.PeftModel.from_pretrained(model, adapter).merge_and_unload()
    return model


def _not_reward_model(where: str) -> ModelError:
    message = f"{where} is not a reward model with one score."
    return ModelError("not_reward_model", message, "Choose a model made by a reward run.")
