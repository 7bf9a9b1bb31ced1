"""Reads a config.json of transformers into an Architecture, family by family."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from training.recipes.encoders import FAMILIES
from training.recipes.errors import RecipeError
from training.recipes.estimate.layout import Architecture, Linear, Norm
from training.recipes.words import gettext_noop

Config = Mapping[str, Any]
LLAMA_KIN = ("llama", "mistral", "smollm3", "qwen2", "qwen3", "gemma", "gemma2", "gemma3_text")
# What their configuration classes of transformers say where a config.json is silent.
TIED_UNLESS_SAID = ("gemma", "gemma2", "gemma3_text", "smollm3")
KEY_VALUE_HEADS = {"mistral": 8, "qwen2": 32, "qwen3": 32, "gemma": 16, "gemma2": 4, "gemma3_text": 4}
HEAD_WIDTH = {"gemma": 256, "gemma2": 256, "gemma3_text": 256, "qwen3": 128}
EXPERTS = ("num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts")
# No model is larger; a config.json that says so is damaged, and would be counted for hours.
LARGEST, MOST_LAYERS = 2**31 - 1, 4096
# Of the encoders that have a reader; a pooler is left out, as training/ml/encoder.py does.
BERT_KIN = ("bert", "roberta", "xlm-roberta", "camembert")
ACTIVATIONS = {"gemma": "gelu_pytorch_tanh", "gemma2": "gelu_pytorch_tanh", "gemma3_text": "gelu_pytorch_tanh"}


def read_architecture(config: Config) -> Architecture:
    """The model that a config.json describes; of an unknown family what can be counted if it is built as a Llama.

    Raises RecipeError naming the entry that is missing or no number.
    """
    if not isinstance(config, Mapping):
        raise RecipeError("config", gettext_noop("This is no config.json: it holds no object of names and values."))
    inner = config.get("text_config")
    family = str(config.get("model_type", "")).encode(errors="replace").decode()
    # A model of text and pictures keeps the sizes of its language model apart.
    if isinstance(inner, Mapping) and "hidden_size" not in config:
        return replace(read_architecture(inner), family=family or "?", known=False)
    _require_countable(config)
    return _READERS.get(family, _unknown)(family, config)


def _require_countable(config: Config) -> None:
    """What is no stack of equal blocks would be counted wrongly, not roughly."""
    if config.get("is_encoder_decoder") is True:
        raise RecipeError("config", gettext_noop("The model is an encoder with a decoder: nothing here can train it."))
    experts = next((config[name] for name in EXPERTS if isinstance(config.get(name), int) and config[name] > 1), None)
    if experts is not None:
        said = gettext_noop("The model is a mixture of %(experts)s experts: what it takes is not estimated here.")
        raise RecipeError("config", said, experts=experts)


def _llama(family: str, config: Config) -> Architecture:
    width, heads, layers = (_size(config, n) for n in ("hidden_size", "num_attention_heads", "num_hidden_layers"))
    groups = _size(config, "num_key_value_heads", KEY_VALUE_HEADS.get(family, heads))
    head = _head_width(config, width, heads, HEAD_WIDTH.get(family))
    inner, vocabulary = _size(config, "intermediate_size"), _size(config, "vocab_size")
    biased = bool(config.get("attention_bias", False)) and family != "mistral"
    in_bias, out_bias = (True, False) if family == "qwen2" else (biased, biased)
    mlp_bias = bool(config.get("mlp_bias", False)) and family in ("llama", "smollm3")
    linears = (
        Linear("self_attn.q_proj", width, heads * head, "query", in_bias),
        Linear("self_attn.k_proj", width, groups * head, "key", in_bias),
        Linear("self_attn.v_proj", width, groups * head, "value", in_bias),
        Linear("self_attn.o_proj", heads * head, width, "attention_output", out_bias),
        Linear("mlp.gate_proj", width, inner, "gate", mlp_bias),
        Linear("mlp.up_proj", width, inner, "inner", mlp_bias),
        Linear("mlp.down_proj", inner, width, "inner_output", mlp_bias),
    )
    norms = [Norm(width)] * (4 if family in ("gemma2", "gemma3_text") else 2)
    if family in ("qwen3", "gemma3_text"):
        norms += [Norm(head, heads=heads), Norm(head, heads=groups)]  # of queries and keys, head by head
    tied = config.get("tie_word_embeddings")
    return Architecture(
        family=family,
        vocabulary=vocabulary,
        width=width,
        layers=layers,
        heads=heads,
        key_value_heads=groups,
        head_width=head,
        inner=inner,
        context=_size(config, "max_position_embeddings", 0),
        activation=str(config.get("hidden_act") or ACTIVATIONS.get(family, "silu")),
        embeddings=vocabulary * width,
        linears=linears,
        norms=tuple(norms),
        first_norm=None,
        final_norm=Norm(width),
        tied=family in TIED_UNLESS_SAID if tied is None else bool(tied),
    )


def _gpt2(family: str, config: Config) -> Architecture:
    width, heads, layers = (_size(config, name) for name in ("n_embd", "n_head", "n_layer"))
    vocabulary, context = _size(config, "vocab_size"), _size(config, "n_positions", 1024)
    inner = _size(config, "n_inner", 4 * width)
    linears = (
        Linear("attn.c_attn", width, 3 * width, "qkv", True),
        Linear("attn.c_proj", width, width, "attention_output", True),
        Linear("mlp.c_fc", width, inner, "inner", True),
        Linear("mlp.c_proj", inner, width, "inner_output", True),
    )
    return Architecture(
        family=family,
        vocabulary=vocabulary,
        width=width,
        layers=layers,
        heads=heads,
        key_value_heads=heads,
        head_width=_head_width({}, width, heads),
        inner=inner,
        context=context,
        activation=str(config.get("activation_function", "gelu_new")),
        embeddings=(vocabulary + context) * width,
        linears=linears,
        norms=(Norm(width, bias=True),) * 2,
        first_norm=None,
        final_norm=Norm(width, bias=True),
        tied=bool(config.get("tie_word_embeddings", True)),
        blocks_path="transformer.h",
        transposed=True,
    )


def _bert(family: str, config: Config) -> Architecture:
    width, heads, layers = (_size(config, n) for n in ("hidden_size", "num_attention_heads", "num_hidden_layers"))
    vocabulary, context = _size(config, "vocab_size"), _size(config, "max_position_embeddings", 512)
    inner, kinds = _size(config, "intermediate_size"), _size(config, "type_vocab_size", 2)
    linears = (
        Linear("attention.self.query", width, width, "query", True),
        Linear("attention.self.key", width, width, "key", True),
        Linear("attention.self.value", width, width, "value", True),
        Linear("attention.output.dense", width, width, "attention_output", True),
        Linear("intermediate.dense", width, inner, "inner", True),
        Linear("output.dense", inner, width, "inner_output", True),
    )
    return Architecture(
        family=family,
        vocabulary=vocabulary,
        width=width,
        layers=layers,
        heads=heads,
        key_value_heads=heads,
        head_width=_head_width({}, width, heads),
        inner=inner,
        context=context,
        activation=str(config.get("hidden_act", "gelu")),
        embeddings=(vocabulary + context + kinds) * width,
        linears=linears,
        norms=(Norm(width, bias=True),) * 2,
        first_norm=Norm(width, bias=True),
        final_norm=None,
        tied=True,
        blocks_path="encoder.encoder.layer",
        encoder=True,
    )


def _unknown(family: str, config: Config) -> Architecture:
    """As a Llama, under whichever of the usual names the sizes stand."""
    names = {
        "hidden_size": ("n_embd", "d_model", "dim"),
        "num_attention_heads": ("n_head", "num_heads", "n_heads"),
        "num_hidden_layers": ("n_layer", "num_layers", "n_layers"),
        "intermediate_size": ("n_inner", "ffn_dim", "d_ff", "ffn_hidden_size", "hidden_dim"),
        "max_position_embeddings": ("n_positions", "seq_length"),
    }
    found = dict(config)
    for name, others in names.items():
        found[name] = next((config[other] for other in (name, *others) if config.get(other) is not None), None)
    if found["intermediate_size"] is None and isinstance(found["hidden_size"], int):
        found["intermediate_size"] = 4 * found["hidden_size"]
    return replace(_llama(family, found), known=False, encoder=family in FAMILIES)


def _head_width(config: Config, width: int, heads: int, default: int | None = None) -> int:
    if default is None and config.get("head_dim") is None and width % heads:
        said = gettext_noop("The config.json gives %(heads)s heads to a width of %(width)s, which they do not divide.")
        raise RecipeError("config", said, heads=heads, width=width)
    return _size(config, "head_dim", default or width // heads)


def _size(config: Config, name: str, default: int | None = None) -> int:
    value = config.get(name)
    if value is None and default is not None:
        return default
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        said = gettext_noop("The config.json does not give “%(name)s” as a number from 1 on, but %(value)s.")
        raise RecipeError("config", said, name=name, value=repr(value)[:40])
    most = MOST_LAYERS if name in ("num_hidden_layers", "n_layer") else LARGEST
    if value > most:
        said = gettext_noop("The config.json gives “%(name)s” as a number beyond %(most)s: no model has so many.")
        raise RecipeError("config", said, name=name, most=most)
    return value


_READERS: dict[str, Callable[[str, Config], Architecture]] = {
    **{family: _llama for family in LLAMA_KIN},
    **{family: _bert for family in BERT_KIN},
    "gpt2": _gpt2,
}
