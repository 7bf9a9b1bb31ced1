"""Reads a config.json of transformers into an Architecture, family by family."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from training.recipes.encoders import FAMILIES
from training.recipes.errors import RecipeError
from training.recipes.estimate import decoder_families, encoder_families
from training.recipes.estimate.layout import Architecture
from training.recipes.estimate.sizes import Config, flag
from training.recipes.words import gettext_noop

# What a model sees and hears with, and weights that are kept in fewer bits already.
NOT_COUNTED = ("vision_config", "audio_config", "quantization_config")
WITH_ENCODER = ("t5", "mt5", "umt5", "longt5", "switch_transformers", "bart", "mbart", "led", "pegasus", "marian")
WITH_ENCODER += ("m2m_100", "nllb-moe", "blenderbot", "blenderbot-small", "prophetnet", "bigbird_pegasus", "whisper")
# Layers of these carry a state from token to token; nothing of what is counted here holds of them.
RECURRENT = ("mamba", "mamba2", "falcon_mamba", "falcon_h1", "rwkv", "recurrent_gemma", "jamba", "bamba", "zamba")
RECURRENT += ("zamba2", "xlstm", "granitemoehybrid", "nemotron_h")
# What transformers' configuration classes say where a config.json is silent, and what those models are built like.
TIED = ("bloom", "falcon", "opt", "starcoder2", "cohere", "cohere2", "gpt_neo", "gpt_bigcode", "mpt", "biogpt", "xglm")
TIED += ("openai-gpt",)
WITHOUT_GATE = ("bloom", "falcon", "opt", "starcoder2", "gpt_neo", "gpt_bigcode", "mpt", "biogpt", "xglm", "openai-gpt")
WITHOUT_GATE += ("codegen", "gptj", "gpt_neox", "phi", "persimmon", "nemotron", "arcee", "apertus", "nanochat")
ONE_KEY_UNLESS_SAID = ("falcon", "gpt_bigcode")
# Of a language model within another one whose config.json leaves out what is as in Llama 2.
LLAMA_2 = {"hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32, "num_attention_heads": 32}
NAMELESS = "?"  # of a config.json that does not say which family it is of
READERS = decoder_families.READERS | encoder_families.READERS


def read_architecture(config: Config) -> Architecture:
    """The model that a config.json describes; of an unknown family what can be counted if it is built as a Llama.

    Raises RecipeError naming the entry that is missing or no number.
    """
    if not isinstance(config, Mapping):
        raise RecipeError("config", gettext_noop("This is no config.json: it holds no object of names and values."))
    given = config.get("model_type")
    family = given.encode(errors="replace").decode() if isinstance(given, str) and given.strip() else NAMELESS
    left_out = tuple(name for name in NOT_COUNTED if isinstance(config.get(name), Mapping))
    inner = config.get("text_config")
    # A model of text and pictures keeps the sizes of its language model apart.
    if isinstance(inner, Mapping) and "hidden_size" not in config:
        silent = LLAMA_2 if inner.get("model_type") == "llama" else {}
        return replace(read_architecture({**silent, **inner}), family=family, known=False, left_out=left_out)
    if config.get("is_encoder_decoder") is True or family in WITH_ENCODER:
        raise RecipeError("config", gettext_noop("The model is an encoder with a decoder: nothing here can train it."))
    if family in RECURRENT:
        said = gettext_noop("The layers of this model (%(family)s) are recurrent: what it takes is not estimated here.")
        raise RecipeError("config", said, family=family)
    # What is no stack of equal blocks would be counted wrongly, not roughly.
    experts = decoder_families.experts_of(config)
    if experts and family not in decoder_families.NUMBER_OF_EXPERTS:
        raise decoder_families.uncounted(experts)
    return replace(READERS.get(family, _unknown)(family, config), left_out=left_out)


def _unknown(family: str, config: Config) -> Architecture:
    """As a Llama, under whichever of the usual names the sizes stand; without the gate where the family has none."""
    names = {
        "hidden_size": ("n_embd", "d_model", "dim"),
        "num_attention_heads": ("n_head", "num_heads", "n_heads", "attention_heads"),
        "num_hidden_layers": ("n_layer", "num_layers", "n_layers"),
        "intermediate_size": ("n_inner", "ffn_dim", "d_ff", "ffn_hidden_size", "hidden_dim"),
        "max_position_embeddings": ("n_positions", "seq_length"),
        "num_key_value_heads": ("num_kv_heads", "n_head_kv"),
    }
    found = dict(config)
    for name, others in names.items():
        found[name] = next((config[other] for other in (name, *others) if config.get(other) is not None), None)
    if found["intermediate_size"] is None and isinstance(found["hidden_size"], int):
        found["intermediate_size"] = 4 * found["hidden_size"]
    one_key = flag(config, "multi_query", family in ONE_KEY_UNLESS_SAID)
    if one_key and not flag(config, "new_decoder_architecture"):
        found["num_key_value_heads"] = 1
    if found.get("tie_word_embeddings") is None:
        found["tie_word_embeddings"] = family in TIED
    _require_sizes(family, found)
    model = decoder_families.llama(family, found)
    if family in WITHOUT_GATE:
        model = replace(model, linears=tuple(layer for layer in model.linears if layer.role != "gate"))
    return replace(model, known=False, encoder=family in FAMILIES)


def _require_sizes(family: str, config: Config) -> None:
    """Raises RecipeError naming the family where what everything goes by is under no name that is known here."""
    wanted = ("hidden_size", "num_attention_heads", "num_hidden_layers", "vocab_size")
    lacking = [name for name in wanted if config.get(name) is None]
    if lacking:
        said = gettext_noop(
            "The architecture “%(family)s” is not known here, and its config.json says nothing of %(names)s under any "
            "of the usual names: what it takes is not estimated."
        )
        raise RecipeError("config", said, family=family, names=", ".join(lacking))
