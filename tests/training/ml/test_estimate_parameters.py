"""The arithmetic counts what is built: every adapter method on real architectures, without their weights."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    PreTrainedModel,
)

from tests.training.ml import encoders
from tests.training.ml.trained import SMALL, VARIANTS
from training.ml import adapters, quantised
from training.ml.adapters import apply_adapter, parameter_counts
from training.ml.encoder import on_encoder
from training.ml.errors import ModelError
from training.recipes.adapters import AdapterConfig
from training.recipes.errors import RecipeError
from training.recipes.estimate.adapters import parameters
from training.recipes.estimate.families import read_architecture

pytestmark = pytest.mark.not_db

# The sizes of published models, and their totals as published (BERT's without pooler and head).
LLAMA_3_8B = {
    "model_type": "llama",
    "vocab_size": 128256,
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "max_position_embeddings": 8192,
    "tie_word_embeddings": False,
}
QWEN_25_7B = {
    "model_type": "qwen2",
    "vocab_size": 152064,
    "hidden_size": 3584,
    "intermediate_size": 18944,
    "num_hidden_layers": 28,
    "num_attention_heads": 28,
    "num_key_value_heads": 4,
    "max_position_embeddings": 32768,
    "tie_word_embeddings": False,
}
GPT2 = {
    "model_type": "gpt2",
    "vocab_size": 50257,
    "n_embd": 768,
    "n_layer": 12,
    "n_head": 12,
    "n_positions": 1024,
}
BERT_BASE = {
    "model_type": "bert",
    "vocab_size": 30522,
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "max_position_embeddings": 512,
    "type_vocab_size": 2,
}
PUBLISHED = {
    "Llama-3-8B": (LLAMA_3_8B, 8_030_261_248),
    "Qwen2.5-7B": (QWEN_25_7B, 7_615_616_512),
    "GPT-2": (GPT2, 124_439_808),
    "BERT-base": (BERT_BASE, 109_482_240 - 768 * 769),
}
SMOL = {
    "vocab_size": 1000,
    "hidden_size": 48,
    "intermediate_size": 80,
    "num_hidden_layers": 3,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
}
TINY = {
    "llama": {**SMOL, "model_type": "llama", "tie_word_embeddings": True},
    "llama with biases": {**SMOL, "model_type": "llama", "attention_bias": True, "mlp_bias": True},
    "mistral": {**SMOL, "model_type": "mistral", "head_dim": 16},
    "smollm3": {**SMOL, "model_type": "smollm3", "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2},
    "qwen3": {**SMOL, "model_type": "qwen3", "head_dim": 16},
    "gemma": {**SMOL, "model_type": "gemma", "head_dim": 16, "num_key_value_heads": 1},
    "gemma2": {**SMOL, "model_type": "gemma2", "head_dim": 16},
    "gemma3_text": {**SMOL, "model_type": "gemma3_text", "head_dim": 16},
    "qwen2": {**SMOL, "model_type": "qwen2"},
    "gpt2": {**GPT2, "n_embd": 48, "n_layer": 3, "n_head": 6, "vocab_size": 1000},
    "mixtral": {**SMOL, "model_type": "mixtral", "num_local_experts": 4},
    "qwen2_moe": {
        **SMOL,
        "model_type": "qwen2_moe",
        "num_experts": 4,
        "moe_intermediate_size": 20,
        "shared_expert_intermediate_size": 32,
    },
    "qwen3_moe": {**SMOL, "model_type": "qwen3_moe", "num_experts": 4, "moe_intermediate_size": 20, "head_dim": 16},
}
ENCODERS = {name: {**sizes, "model_type": name, "vocab_size": 800} for name, (_, sizes) in encoders.FAMILIES.items()}
# What the large and the old ones of a family have, and the others do without.
SPECIAL = {
    "deberta-v2 with all": {
        **ENCODERS["deberta-v2"],
        "pos_att_type": "p2c|c2p",
        "position_buckets": 16,
        "norm_rel_ebd": "layer_norm",
        "conv_kernel_size": 3,
        "position_biased_input": False,
        "type_vocab_size": 2,
        "embedding_size": 32,
    },
    "deberta-v2 that shares": {**ENCODERS["deberta-v2"], "share_att_key": True, "max_relative_positions": -1},
    "electra as wide as its words": {**ENCODERS["electra"], "embedding_size": 64},
    "albert in two groups": {
        **ENCODERS["albert"],
        "num_hidden_layers": 4,
        "num_hidden_groups": 2,
        "inner_group_num": 2,
    },
    "albert without sharing": {**ENCODERS["albert"], "num_hidden_groups": 2},
    "modernbert with biases": {
        **ENCODERS["modernbert"],
        "attention_bias": True,
        "mlp_bias": True,
        "norm_bias": True,
        "num_hidden_layers": 1,
    },
}
# What transformers makes of what is not there, is null, or has another of its names.
SAID_OTHERWISE = {
    "qwen2 of null": {**TINY["qwen2"], "num_key_value_heads": None},
    "qwen3 of null": {**TINY["qwen3"], "num_key_value_heads": None},
    "smollm3 of null": {**TINY["smollm3"], "num_key_value_heads": None},
    "smollm3 silent": {**TINY["smollm3"], "num_attention_heads": 8, "num_key_value_heads": ...},
    "gpt2": {"model_type": "gpt2", "vocab_size": 1000, "hidden_size": 48, "num_attention_heads": 6}
    | {"num_hidden_layers": 3, "max_position_embeddings": 77},
    "gpt2 of both names": {**TINY["gpt2"], "hidden_size": 96, "max_position_embeddings": 77},
    "distilbert": {"model_type": "distilbert", "vocab_size": 800, "hidden_size": 64, "num_attention_heads": 4}
    | {"num_hidden_layers": 2, "hidden_dim": 128},
}
SAID_OTHERWISE = {name: {k: v for k, v in sizes.items() if v is not ...} for name, sizes in SAID_OTHERWISE.items()}
METHODS = [*VARIANTS, "lora-named"]
SCORED = {name: TINY[name] for name in ("llama", "qwen2", "gpt2", "qwen2_moe", "qwen3_moe")} | ENCODERS


@pytest.fixture(autouse=True)
def nothing_is_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights without storage can neither be packed nor read a word; neither changes how many there are."""

    def quantise(model: PreTrainedModel) -> None:
        if model.config.model_type == "gpt2":
            quantised.quantise(model)

    monkeypatch.setattr(adapters, "quantise", quantise)
    monkeypatch.setattr(adapters, "begin_as_words", lambda model: None)
    monkeypatch.setattr(adapters, "base_facts", lambda model, adapter: {})


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_totals_are_met(name: str) -> None:
    config, total = PUBLISHED[name]
    assert read_architecture(config).policy == total


@pytest.mark.parametrize("variant", ["lora", "lora-named", "lora-dora", "houlsby", "prefix", "last_layers"])
@pytest.mark.parametrize("name", ["Llama-3-8B", "Qwen2.5-7B", "GPT-2"])
def test_large_models_are_counted_as_they_are_built(name: str, variant: str) -> None:
    _compare(PUBLISHED[name][0], "policy", variant)


def test_a_large_encoder_is_counted_as_it_is_built() -> None:
    _compare(BERT_BASE, "reward", "lora")


@pytest.mark.parametrize("variant", METHODS)
@pytest.mark.parametrize("name", TINY)
def test_every_method_is_counted_as_it_is_built_for_a_policy(name: str, variant: str) -> None:
    _compare(TINY[name], "policy", variant)


@pytest.mark.parametrize("variant", METHODS)
@pytest.mark.parametrize("name", SCORED)
def test_every_method_is_counted_as_it_is_built_for_a_reward_model(name: str, variant: str) -> None:
    _compare(SCORED[name], "reward", variant)


@pytest.mark.parametrize("variant", ["full", "lora", "last_layers", "bias", "prompt_tuning"])
@pytest.mark.parametrize("name", SPECIAL)
def test_what_only_some_encoders_have_is_counted_as_it_is_built(name: str, variant: str) -> None:
    _compare(SPECIAL[name], "reward", variant)


@pytest.mark.parametrize("name", SAID_OTHERWISE)
def test_sizes_are_read_as_transformers_reads_them(name: str) -> None:
    sizes = SAID_OTHERWISE[name]
    for variant in ("full", "lora"):
        _compare(sizes, "reward" if name == "distilbert" else "policy", variant)


@pytest.mark.parametrize("targets", ["1.self_attn.q_proj", "layers.0.mlp.up_proj,up_proj", "0.self_attn.q_proj,k_proj"])
def test_a_target_may_number_its_block(targets: str) -> None:
    _compare(TINY["llama"], "policy", "lora", targets=targets)


def _compare(sizes: dict[str, Any], task: str, variant: str, **more: Any) -> None:
    config = AdapterConfig(adapter=variant.partition("-")[0], **{**SMALL, **_of(variant, sizes["model_type"]), **more})
    architecture, model = read_architecture(sizes), _built(sizes, task)
    before = parameter_counts(model)["total"]
    assert architecture.known
    try:
        with torch.device("meta"):
            built = apply_adapter(model, config, task)
    except (ModelError, ValueError):  # PEFT's own where a mixture takes no DoRA
        with pytest.raises(RecipeError):
            parameters(architecture, config, task)
        return
    found, counted = parameters(architecture, config, task), parameter_counts(built)
    assert found.base == before
    assert (found.total, found.trainable) == (counted["total"], counted["trainable"])


def _built(sizes: dict[str, Any], task: str) -> PreTrainedModel:
    """As `load_policy` and `load_reward_base` make it, on the meta device."""
    settings = AutoConfig.for_model(**sizes)
    settings.num_labels = 1
    kind = AutoModelForCausalLM if task == "policy" else AutoModelForSequenceClassification
    with torch.device("meta"):
        if settings.model_type in encoders.FAMILIES:
            return on_encoder(AutoModel.from_config(settings))
        return kind.from_config(settings)


def _of(variant: str, family: str) -> dict[str, Any]:
    if variant != "lora-named":
        return VARIANTS[variant]
    named = {"gpt2": "c_attn,mlp.c_proj", "distilbert": "q_lin,lin2", "modernbert": "attn.Wo,Wi", "mpnet": "q,dense"}
    named |= {"deberta-v2": "query_proj,dense", "albert": "query,embedding_hidden_mapping_in"}
    kin = "query,dense" if family in encoders.FAMILIES else "q_proj,v_proj"
    return {"targets": named.get(family, kin)}
