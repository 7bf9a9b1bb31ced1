"""Reads a config.json of a language model: Llama and its kin, mixtures of experts that are built like it, GPT-2."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from training.recipes.errors import RecipeError
from training.recipes.estimate.layout import Architecture, Dropout, Linear, Norm, Stacked, WrittenOut
from training.recipes.estimate.sizes import Config, flag, head_width, share, size, size_or_none
from training.recipes.words import gettext_noop

LLAMA_KIN = ("llama", "mistral", "smollm3", "qwen2", "qwen3", "gemma", "gemma2", "gemma3_text")
# What their configuration classes of transformers say where a config.json is silent.
TIED_UNLESS_SAID = ("gemma", "gemma2", "gemma3_text", "smollm3")
KEY_VALUE_HEADS = {"mistral": 8, "qwen2": 32, "qwen3": 32, "gemma": 16, "gemma2": 4, "gemma3_text": 4, "mixtral": 8}
KEY_VALUE_HEADS |= {"qwen2_moe": 16, "qwen3_moe": 4, "smollm3": 4}
# There null is no silence: all heads have keys and values of their own.
NULL_IS_ALL_HEADS = ("qwen2", "qwen3", "smollm3")
WITH_WINDOWS = ("mistral", "gemma2", "gemma3_text")
CAPPED = {"gemma2": 30.0}  # the limit of the logits
HEAD_WIDTH = {"gemma": 256, "gemma2": 256, "gemma3_text": 256, "qwen3": 128}
ACTIVATIONS = {"gemma": "gelu_pytorch_tanh", "gemma2": "gelu_pytorch_tanh", "gemma3_text": "gelu_pytorch_tanh"}
# Published within models that read pictures too, whose config.json says little of the language model.
SILENT = {"gemma3_text": {"num_attention_heads": 8, "vocab_size": 262_208, "max_position_embeddings": 131_072}}
# Of a mixture: how many experts there are, and how many a token goes through.
EXPERTS = ("num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts")
NUMBER_OF_EXPERTS = {"mixtral": 8, "qwen2_moe": 60, "qwen3_moe": 128}
CHOSEN = {"mixtral": 2, "qwen2_moe": 4, "qwen3_moe": 8}
EXPERT_WIDTH = {"qwen2_moe": 1408, "qwen3_moe": 768}
# Under which transformers reads GPT-2's sizes as well, and which go before its own.
OTHER_NAMES = {"hidden_size": "n_embd", "max_position_embeddings": "n_positions", "num_attention_heads": "n_head"}
OTHER_NAMES |= {"num_hidden_layers": "n_layer"}
SHARED_WIDTH = 5632  # of Qwen2's expert that every token goes through


def llama(family: str, config: Config) -> Architecture:
    config = {**config, **{name: value for name, value in SILENT.get(family, {}).items() if config.get(name) is None}}
    width, heads, layers = (size(config, n) for n in ("hidden_size", "num_attention_heads", "num_hidden_layers"))
    groups = size(config, "num_key_value_heads", _key_value_heads(family, config, heads))
    head = head_width(config, width, heads, HEAD_WIDTH.get(family))
    inner, vocabulary = size(config, "intermediate_size"), size(config, "vocab_size")
    biased = flag(config, "attention_bias") and family not in ("mistral", "mixtral")
    in_bias, out_bias = (True, False) if family == "qwen2" else (biased, biased)
    mlp_bias = flag(config, "mlp_bias") and family in ("llama", "smollm3")
    linears = (
        Linear("self_attn.q_proj", width, heads * head, "query", in_bias),
        Linear("self_attn.k_proj", width, groups * head, "key", in_bias),
        Linear("self_attn.v_proj", width, groups * head, "value", in_bias),
        Linear("self_attn.o_proj", heads * head, width, "attention_output", out_bias),
        *gated("mlp", width, inner, mlp_bias),
    )
    norms = [Norm(width)] * (4 if family in ("gemma2", "gemma3_text") else 2)
    if family in ("qwen3", "gemma3_text", "qwen3_moe"):
        norms += [Norm(head, heads=heads), Norm(head, heads=groups)]  # of queries and keys, head by head
    return Architecture(
        family=family,
        vocabulary=vocabulary,
        width=width,
        layers=layers,
        heads=heads,
        key_value_heads=groups,
        head_width=head,
        inner=inner,
        context=size(config, "max_position_embeddings", 0),
        activation=str(config.get("hidden_act") or ACTIVATIONS.get(family, "silu")),
        embeddings=vocabulary * width,
        linears=linears,
        norms=tuple(norms),
        first_norm=None,
        final_norm=Norm(width),
        tied=flag(config, "tie_word_embeddings", family in TIED_UNLESS_SAID),
        dropout=Dropout(attention=share(config, "attention_dropout") > 0),
        capped=config.get("final_logit_softcapping", CAPPED.get(family)) is not None,
        written_out=_written_out(config) if family == "gemma2" else None,
        window=_window(family, config),
    )


def _window(family: str, config: Config) -> int:
    """Of families that use the window whose size they name; where nothing is said of it, a run itself looks."""
    return size_or_none(config, "sliding_window") if family in WITH_WINDOWS else 0


def _written_out(config: Config) -> WrittenOut:
    """Gemma 2's attention, whose scores stay below a limit, which no kernel of torch's knows."""
    return WrittenOut(capped=config.get("attn_logit_softcapping", 50.0) is not None)


def _key_value_heads(family: str, config: Config, heads: int) -> int:
    """Where no number of them is given."""
    said_null = "num_key_value_heads" in config and family in NULL_IS_ALL_HEADS
    return heads if said_null else KEY_VALUE_HEADS.get(family, heads)


def gated(place: str, width: int, inner: int, bias: bool = False) -> tuple[Linear, ...]:
    return (
        Linear(f"{place}.gate_proj", width, inner, "gate", bias),
        Linear(f"{place}.up_proj", width, inner, "inner", bias),
        Linear(f"{place}.down_proj", inner, width, "inner_output", bias),
    )


def mixture(family: str, config: Config) -> Architecture:
    """A Llama whose feed-forward layers are experts. Its `inner` is what a token meets of them together. Raises
    RecipeError where some layers have experts and others have none: such are not counted here."""
    names = ("num_experts", "num_local_experts")
    count = next((size(config, name) for name in names if config.get(name) is not None), NUMBER_OF_EXPERTS[family])
    if size(config, "decoder_sparse_step", 1) != 1 or config.get("mlp_only_layers"):
        said = gettext_noop(
            "Of the model some layers are mixtures of experts (%(experts)s) and others are not: what it takes is not "
            "estimated here."
        )
        raise RecipeError("config", said, experts=count)
    wide = family == "mixtral"
    each = size(config, "intermediate_size") if wide else size(config, "moe_intermediate_size", EXPERT_WIDTH[family])
    model, width = llama(family, {**config, "intermediate_size": each}), size(config, "hidden_size")
    met = min(size(config, "num_experts_per_tok", CHOSEN[family]), count)
    attention = tuple(layer for layer in model.linears if layer.name.startswith("self_attn."))
    shapes = ((1, width, count, 1, 1), (count, width, 2 * each, met, 2), (count, each, width, met, 1))
    if family != "qwen2_moe":
        experts = tuple(Stacked(*shape) for shape in shapes)
        return replace(model, linears=attention, experts=experts, inner=met * each, placeless=("ia3", "houlsby"))
    shared = size(config, "shared_expert_intermediate_size", SHARED_WIDTH)
    biased = flag(config, "qkv_bias", True)
    attention = tuple(replace(layer, bias=biased and layer.role != "attention_output") for layer in attention)
    own = (*gated("mlp.shared_expert", width, shared), Linear("mlp.shared_expert_gate", width, 1, "gate"))
    experts = tuple(Stacked(*shape[:4]) for shape in shapes)  # which PEFT leaves alone here
    return replace(model, linears=(*attention, *own), experts=experts, inner=met * each + shared)


def experts_of(config: Config) -> int | None:
    """How many experts a config.json speaks of; None where it is no mixture."""
    return next((config[name] for name in EXPERTS if isinstance(config.get(name), int) and config[name] > 1), None)


def uncounted(experts: int) -> RecipeError:
    said = gettext_noop("The model is a mixture of %(experts)s experts: what it takes is not estimated here.")
    return RecipeError("config", said, experts=experts)


def gpt2(family: str, config: Config) -> Architecture:
    config = {**config, **{own: config[name] for name, own in OTHER_NAMES.items() if config.get(name) is not None}}
    width, heads, layers = (size(config, name) for name in ("n_embd", "n_head", "n_layer"))
    vocabulary, context = size(config, "vocab_size"), size(config, "n_positions", 1024)
    inner = size(config, "n_inner", 4 * width)
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
        head_width=head_width({}, width, heads),
        inner=inner,
        context=context,
        activation=str(config.get("activation_function", "gelu_new")),
        embeddings=(vocabulary + context) * width,
        linears=linears,
        norms=(Norm(width, bias=True),) * 2,
        first_norm=None,
        final_norm=Norm(width, bias=True),
        tied=flag(config, "tie_word_embeddings", True),
        blocks_path="transformer.h",
        transposed=True,
        dropout=Dropout(*(share(config, name, 0.1) > 0 for name in ("embd_pdrop", "attn_pdrop", "resid_pdrop"))),
    )


READERS: dict[str, Callable[[str, Config], Architecture]] = {
    **dict.fromkeys(LLAMA_KIN, llama),
    **dict.fromkeys(NUMBER_OF_EXPERTS, mixture),
    "gpt2": gpt2,
}
