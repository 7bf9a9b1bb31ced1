"""Loads policies, reward models and tokenizers from a directory, a hub id or a GGUF file, with adapters merged in."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import torch
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from training.ml import origin
from training.ml.artifact import read_manifest, verify_artifact
from training.ml.chat import end_of_turn
from training.ml.convert import converted
from training.ml.device import Device
from training.ml.encoder import EncoderForReward, is_encoder_reward, on_encoder, reads_at_once, with_turns
from training.ml.errors import ModelError
from training.ml.job import ModelSpec
from training.ml.mixed import compute_in_bf16
from training.ml.precision import Mixed, Quantised, for_frozen
from training.ml.quantised import is_quantised, quantise
from training.recipes.words import gettext_noop

MANIFEST = "manifest.json"
# Under this name transformers warns once that a long text "will result in indexing errors". Texts are measured here
# before they are cut or left out: it counts as said.
LONG_TEXT = "sequence-length-is-longer-than-the-specified-maximum"
# Never unpickled, never run: a model is data.
SAFE = {"use_safetensors": True, "trust_remote_code": False}


def load_tokenizer(
    spec: ModelSpec, *, cache: Path, on_convert: Callable[[], None] = lambda: None
) -> PreTrainedTokenizerBase:
    """The base model's tokenizer, whose EOS is the token that ends a turn (`chat.end_of_turn`). Without a pad token EOS
    pads (attention masks tell the two apart everywhere). That of an encoder gets turns of ours.

    Raises ModelError: "unknown_model", "no_eos", "no_separator".
    """
    base = resolve(spec.base, cache, on_convert)
    with origin.load_errors(spec.base):
        tokenizer = AutoTokenizer.from_pretrained(base, trust_remote_code=False)
        config = AutoConfig.from_pretrained(base, trust_remote_code=False)
    if reads_at_once(config) or is_encoder_reward(config):
        with_turns(tokenizer, spec.base)
    if tokenizer.eos_token_id is None:
        raise ModelError(
            "no_eos",
            gettext_noop("The tokenizer of %(base)s has no end-of-sequence token, so a response could never end."),
            gettext_noop("Choose another model, or set eos_token in its tokenizer_config.json."),
            base=spec.base,
        )
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    tokenizer.deprecation_warnings[LONG_TEXT] = True
    tokenizer.eos_token = _ending(tokenizer, spec)
    return tokenizer


def _ending(tokenizer: PreTrainedTokenizerBase, spec: ModelSpec) -> str:
    """What has been trained goes on ending its responses as it was trained to, which its own tokenizer file says."""
    if not spec.adapters:
        made_here = (Path(spec.base).expanduser() / MANIFEST).is_file()
        return tokenizer.eos_token if made_here else end_of_turn(tokenizer)
    try:
        told = json.loads((Path(spec.adapters[-1]) / "tokenizer_config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):  # what else is wrong with the artifact is told where its weights are read
        return end_of_turn(tokenizer)
    ending = told.get("eos_token")
    ending = ending.get("content") if isinstance(ending, dict) else ending
    return ending if ending in tokenizer.get_vocab() else end_of_turn(tokenizer)


def load_policy(
    spec: ModelSpec, *, cache: Path, device: Device, on_convert: Callable[[], None] = lambda: None
) -> PreTrainedModel:
    """The base with ALL its adapters merged in, in order: a plain causal LM in eval mode, on the device.

    A training recipe puts its own fresh adapter on top of it.
    Raises ModelError: "unknown_model", "not_causal_lm", "pickle_only", "broken_artifact", "wrong_base",
    "adapter_not_mergeable".
    """
    model = _causal_lm(spec.base, resolve(spec.base, cache, on_convert), device)
    return _ready(_merged(model, spec.adapters), device)


def load_speaker(
    spec: ModelSpec, *, cache: Path, device: Device, on_convert: Callable[[], None] = lambda: None
) -> PreTrainedModel:
    """The model that answers: as load_policy, but the last adapter stays as it was trained: beside the model if it is
    one that cannot be merged or would be rounded, on 4-bit weights if it has learned beside them."""
    model = _causal_lm(spec.base, resolve(spec.base, cache, on_convert), device)
    return _ready(_with_adapters(model, spec.adapters), device)


def load_reward_base(
    spec: ModelSpec,
    *,
    cache: Path,
    device: Device,
    on_convert: Callable[[], None] = lambda: None,
    members: int = 1,
) -> PreTrainedModel:
    """A classifier with one output, or one for each member of an ensemble: the policy or the encoder of `spec` as its
    body, and a new head (from torch's RNG: seed it). Raises as load_policy does."""
    base = resolve(spec.base, cache, on_convert)
    with origin.load_errors(spec.base):
        config = AutoConfig.from_pretrained(base, trust_remote_code=False)
    if reads_at_once(config):
        model = on_encoder(_encoder(spec, base, device))
    else:
        model = on_policy(load_policy(spec, cache=cache, device=device, on_convert=on_convert))
    return headed(model, members, device)


def headed(model: PreTrainedModel, members: int, device: Device) -> PreTrainedModel:
    """A classifier with a new head of so many outputs."""
    model.config.num_labels = members
    model.score = torch.nn.Linear(model.score.in_features, members, bias=False)
    torch.nn.init.normal_(model.score.weight, std=getattr(model.config, "initializer_range", 0.02))
    # The head stays in fp32: scores of a body in bf16 would otherwise come in steps as coarse as their differences.
    return model.to(device.torch_device).eval()


def load_reward_model(
    spec: ModelSpec, *, cache: Path, device: Device, on_convert: Callable[[], None] = lambda: None
) -> PreTrainedModel:
    """A trained reward model: its last adapter is a reward adapter (head included), or its base is a full reward model.

    Raises as load_policy does, and ModelError("not_reward_model").
    """
    device = for_frozen(device)  # asked for by a policy that is trained with it
    if not spec.adapters:
        return _full_reward_model(spec, cache, device)
    *earlier, last = spec.adapters
    members = members_of_adapter(Path(last))
    # On the CPU until the adapter is there: 4-bit weights must come out the same as they did for the training.
    here = replace(device, torch_device=torch.device("cpu"))
    body = ModelSpec(spec.base, tuple(earlier))
    model = load_reward_base(body, cache=cache, device=here, on_convert=on_convert, members=members)
    return _ready(_as_trained(model, Path(last)), device)


def members_of_adapter(directory: Path) -> int:
    """How many heads a reward adapter has. Raises ModelError("not_reward_model") for an adapter of another task."""
    if read_manifest(directory).get("task") != "reward":
        raise _not_reward_model(str(directory))
    return _members(directory)


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
        ours = is_encoder_reward(config)
        if not (ours or any(name.endswith("ForSequenceClassification") for name in names)):
            raise _not_reward_model(spec.base)
        if config.num_labels != _members(Path(base)):
            raise _not_reward_model(spec.base)
        kind = EncoderForReward if ours else AutoModelForSequenceClassification
        model = kind.from_pretrained(base, config=config, dtype=device.dtype, **SAFE)
    if not isinstance(getattr(model, "score", None), torch.nn.Linear):
        raise _not_reward_model(spec.base)
    model.score.float()  # as it was trained; see load_reward_base
    return model.to(device.torch_device).eval()


def _members(directory: Path) -> int:
    """Of how many heads a reward model of ours is; one from elsewhere has one."""
    if not (directory / MANIFEST).is_file():
        return 1
    return int((read_manifest(directory).get("config") or {}).get("members", 1))


def on_policy(policy: PreTrainedModel) -> PreTrainedModel:
    """A classifier whose body is the policy's."""
    with torch.device("meta"):
        model = AutoModelForSequenceClassification.from_config(policy.config)
    setattr(model, model.base_model_prefix, policy.base_model)
    model.is_loaded_in_4bit = is_quantised(policy)
    model.multiplies_in_bf16 = getattr(policy, "multiplies_in_bf16", False)
    return model


def _encoder(spec: ModelSpec, base: str, device: Device) -> PreTrainedModel:
    with origin.load_errors(spec.base):
        body = AutoModel.from_pretrained(base, dtype=device.dtype, **SAFE)
    return _ready(body, device)


def _causal_lm(name: str, base: str, device: Device) -> PreTrainedModel:
    with origin.load_errors(name):
        origin.require_causal_lm(name, AutoConfig.from_pretrained(base, trust_remote_code=False))
        return AutoModelForCausalLM.from_pretrained(base, dtype=device.dtype, **SAFE)


def _with_adapters(model: PreTrainedModel, adapters: tuple[str, ...]) -> PreTrainedModel:
    if not adapters:
        return model
    *earlier, last = adapters
    return _as_trained(_merged(model, tuple(earlier)), Path(last))


def _as_trained(model: PreTrainedModel, adapter: Path) -> PreTrainedModel:
    """With the adapter merged, or attached where merging is impossible, would round it, or would undo the 4 bits it
    learned beside."""
    return _files().settled(attached(model, adapter))


def _merged(model: PreTrainedModel, adapters: tuple[str, ...]) -> PreTrainedModel:
    for adapter in adapters:
        model = _files().merged(attached(model, Path(adapter)))
    return model


def attached(model: PreTrainedModel, adapter: Path) -> PreTrainedModel:
    """With the adapter beside it. Raises ModelError("broken_artifact", "wrong_base")."""
    origin.require_adapter(adapter)
    verify_artifact(adapter)
    return _files().attach(model, adapter)


def _files() -> ModuleType:
    # peft takes seconds to import, and the first sample of a bare model should not wait for it.
    return importlib.import_module("training.ml.adapter_files")


def _ready(model: PreTrainedModel, device: Device) -> PreTrainedModel:
    """Quantised where the device says so, before it goes there: only the small copy has to fit."""
    if isinstance(device, Quantised):
        quantise(model)
    if isinstance(device, Mixed):
        compute_in_bf16(model)
    return model.to(device.torch_device).eval()


def _not_reward_model(where: str) -> ModelError:
    return ModelError(
        "not_reward_model",
        gettext_noop("%(where)s is not a reward model with one score."),
        gettext_noop("Choose a model made by a reward run."),
        where=where,
    )
