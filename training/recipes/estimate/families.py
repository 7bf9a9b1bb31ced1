"""Reads a config.json of transformers into an Architecture, family by family."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from training.recipes.encoders import FAMILIES
from training.recipes.errors import RecipeError
from training.recipes.estimate import decoder_families, encoder_families
from training.recipes.estimate.layout import Architecture
from training.recipes.estimate.sizes import Config
from training.recipes.words import gettext_noop

READERS = decoder_families.READERS | encoder_families.READERS


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
    if config.get("is_encoder_decoder") is True:
        raise RecipeError("config", gettext_noop("The model is an encoder with a decoder: nothing here can train it."))
    # What is no stack of equal blocks would be counted wrongly, not roughly.
    experts = decoder_families.experts_of(config)
    if experts and family not in decoder_families.NUMBER_OF_EXPERTS:
        raise decoder_families.uncounted(experts)
    return READERS.get(family, _unknown)(family, config)


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
    return replace(decoder_families.llama(family, found), known=False, encoder=family in FAMILIES)
