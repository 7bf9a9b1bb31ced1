"""PEFT's settings for each adapter method of ours that PEFT does, with targets that are set and never guessed."""

from __future__ import annotations

import inspect

from peft import (
    IA3Config,
    LoraConfig,
    PeftConfig,
    PrefixTuningConfig,
    PromptEncoderConfig,
    PromptTuningConfig,
    PromptTuningInit,
)
from peft.utils.constants import SEQ_CLS_HEAD_NAMES
from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from training.ml.blocks import ATTENTION_OUTPUT, FEED_FORWARD_OUTPUT, KEYS_AND_VALUES, place
from training.ml.encoder import EncoderForReward
from training.ml.errors import ModelError
from training.ml.forward import context_of, reach_of
from training.ml.houlsby import HoulsbyConfig
from training.recipes.adapters import VIRTUAL_TOKENS, AdapterConfig
from training.recipes.encoders import ON_ENCODERS
from training.recipes.words import gettext_noop

TASK_TYPES = {"policy": "CAUSAL_LM", "reward": "SEQ_CLS"}  # SEQ_CLS also trains and saves the score head
TOO_LONG = gettext_noop(
    "virtual_tokens: %(virtual)s virtual tokens and examples of up to %(longest)s tokens do not fit into the model's "
    "context of %(context)s."
)
BEYOND_THE_WINDOW = gettext_noop(
    "virtual_tokens: %(virtual)s virtual tokens and examples of up to %(longest)s tokens do not fit into the model's "
    "window of attention, %(context)s tokens: what lies beyond it is not seen."
)


def peft_settings(model: PreTrainedModel, config: AdapterConfig, task: str) -> PeftConfig:
    """For `config.adapter` on this model; `task` is "policy" or "reward". Raises ModelError: "bad_config",
    "unsupported_model"."""
    kind = TASK_TYPES[task]
    if config.adapter in VIRTUAL_TOKENS:
        return _virtual_tokens(model, config, kind)
    if config.adapter == "ia3":
        return _ia3(model, kind)
    if config.adapter == "houlsby":
        places = (place(model, ATTENTION_OUTPUT, "attention"), place(model, FEED_FORWARD_OUTPUT, "feed-forward"))
        return HoulsbyConfig(task_type=kind, target_modules="|".join(places), bottleneck=config.bottleneck)
    return _low_rank(model, config, kind)


def require_place(model: PreTrainedModel, config: AdapterConfig) -> None:
    """Raises ModelError("unsupported_model") for a method that was made for decoders, on an encoder."""
    if not isinstance(model, EncoderForReward) or config.adapter in ON_ENCODERS:
        return
    raise ModelError(
        "unsupported_model",
        gettext_noop("The adapter %(name)s is not offered on an encoder, which %(model)s is."),
        gettext_noop("Choose one of: %(names)s."),
        name=config.adapter,
        model=model.config.model_type,
        names=", ".join(ON_ENCODERS),
    )


def _low_rank(model: PreTrainedModel, config: AdapterConfig, kind: str) -> LoraConfig:
    names = config.target_names()
    if names:
        _require_targets(model, names)
    return LoraConfig(
        r=config.rank,
        lora_alpha=config.alpha,
        lora_dropout=config.dropout,
        target_modules=list(names) if names else "all-linear",
        use_rslora=config.rslora,
        use_dora=config.dora,
        fan_in_fan_out=_has_conv1d(model),
        task_type=kind,
    )


def _ia3(model: PreTrainedModel, kind: str) -> IA3Config:
    """Keys, values and the inner activation of the feed-forward, which is what its last layer gets (Liu et al. 2022,
    section 3.3). Where queries, keys and values are one product, queries are scaled too."""
    inner = place(model, FEED_FORWARD_OUTPUT, "feed-forward")
    return IA3Config(
        target_modules=f"{place(model, KEYS_AND_VALUES, 'keys and values')}|{inner}",
        feedforward_modules=inner,
        fan_in_fan_out=_has_conv1d(model),
        task_type=kind,
    )


def _virtual_tokens(model: PreTrainedModel, config: AdapterConfig, kind: str) -> PeftConfig:
    _require_room(model, config)
    shared = {"task_type": kind, "num_virtual_tokens": config.virtual_tokens}
    if config.adapter == "prompt_tuning":
        # Lester et al. 2021, section 3.2: begun as words of the vocabulary it learns better than begun at random.
        # PEFT would look for these sizes under names that not every architecture has.
        text = model.config.get_text_config()
        sizes = {"token_dim": text.hidden_size, "num_layers": text.num_hidden_layers}
        sizes["num_attention_heads"] = text.num_attention_heads
        return PromptTuningConfig(prompt_tuning_init=PromptTuningInit.SAMPLE_VOCAB, **sizes, **shared)
    if config.adapter == "p_tuning":
        kinds = {
            "encoder_reparameterization_type": config.encoder.upper(),
            "encoder_hidden_size": config.encoder_hidden,
        }
        return PromptEncoderConfig(encoder_dropout=0.0, **kinds, **shared)
    if "past_key_values" not in inspect.signature(model.base_model.forward).parameters:
        raise ModelError(
            "unsupported_model",
            gettext_noop("%(model)s takes no keys and values from before its text."),
            gettext_noop("Choose lora, or prompt_tuning."),
            model=type(model).__name__,
        )
    if config.adapter == "p_tuning_v2":
        return PrefixTuningConfig(prefix_projection=False, **shared)
    return PrefixTuningConfig(prefix_projection=True, encoder_hidden_size=config.encoder_hidden, **shared)


def _require_room(model: PreTrainedModel, config: AdapterConfig) -> None:
    reach = reach_of(model)
    longest = getattr(config, "max_length", 0)
    if reach and config.virtual_tokens + longest > reach:
        raise ModelError(
            "bad_config",
            TOO_LONG if reach == context_of(model) else BEYOND_THE_WINDOW,
            gettext_noop("Lower the longest example to %(room)s tokens, or use fewer virtual tokens."),
            virtual=config.virtual_tokens,
            longest=longest,
            context=reach,
            room=max(reach - config.virtual_tokens, 0),
        )


def _require_targets(model: PreTrainedModel, names: tuple[str, ...]) -> None:
    heads = [model.get_output_embeddings(), *(getattr(model, head, None) for head in SEQ_CLS_HEAD_NAMES)]
    inner = [name for name, part in model.named_modules() if isinstance(part, nn.Linear | Conv1D) and part not in heads]
    linear = {name.rpartition(".")[2] for name in inner}
    unknown = [name for name in names if name.rpartition(".")[2] not in linear]
    if unknown:
        raise ModelError(
            "bad_config",
            gettext_noop("targets: the model has no linear layer named %(unknown)s."),
            gettext_noop("Its linear layers are: %(names)s."),
            unknown=", ".join(unknown),
            names=", ".join(sorted(linear)),
        )


def _has_conv1d(model: PreTrainedModel) -> bool:
    """GPT-2 keeps its matrices the other way round."""
    return any(isinstance(part, Conv1D) for part in model.modules())
