"""A family that is not known is counted roughly as it is built, and what cannot be is said and not counted."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from training.recipes.errors import RecipeError
from training.recipes.estimate import NAMELESS, read_architecture

pytestmark = pytest.mark.not_db
USUAL = {"vocab_size": 1000, "hidden_size": 64, "intermediate_size": 160, "num_hidden_layers": 3}
USUAL |= {"num_attention_heads": 4, "max_position_embeddings": 128, "pad_token_id": 0}
GROUPED = {**USUAL, "num_key_value_heads": 2}
OLD = {"vocab_size": 1000, "n_embd": 64, "n_head": 4, "n_layer": 3, "n_positions": 128}
UNKNOWN: dict[str, dict[str, Any]] = {
    "bloom": {"vocab_size": 1000, "hidden_size": 64, "n_layer": 3, "n_head": 4},
    "falcon": {"vocab_size": 1000, "hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4},
    "opt": {"vocab_size": 1000, "hidden_size": 64, "ffn_dim": 256, "num_hidden_layers": 3, "num_attention_heads": 4}
    | {"max_position_embeddings": 128, "word_embed_proj_dim": 64},
    "starcoder2": GROUPED,
    "cohere": GROUPED,
    "phi": GROUPED,
    "arcee": GROUPED,
    "granite": GROUPED,
    "olmo2": GROUPED,
    "phi3": GROUPED,
    "gpt_neox": USUAL,
    "gpt_bigcode": OLD,
    "gptj": {**OLD, "rotary_dim": 8},
    "mpt": {"vocab_size": 1000, "d_model": 64, "n_heads": 4, "n_layers": 3, "max_seq_len": 128},
    "xglm": {"vocab_size": 1000, "d_model": 64, "ffn_dim": 256, "num_layers": 3, "attention_heads": 4},
}


@pytest.mark.parametrize("family", UNKNOWN)
def test_an_unknown_family_is_counted_within_a_sixteenth_of_what_it_is(family: str) -> None:
    sizes = {"model_type": family, **UNKNOWN[family]}
    with torch.device("meta"):
        built = AutoModelForCausalLM.from_config(AutoConfig.for_model(**sizes))
    found = read_architecture(sizes)
    assert not found.known
    assert found.policy == pytest.approx(sum(weight.numel() for weight in built.parameters()), rel=1 / 16)


@pytest.mark.parametrize("family", ["mamba", "rwkv", "jamba", "falcon_h1"])
def test_layers_that_carry_a_state_are_not_counted_as_those_of_a_llama(family: str) -> None:
    with pytest.raises(RecipeError, match=rf"\({family}\) are recurrent"):
        read_architecture({**GROUPED, "model_type": family})


def test_an_encoder_with_a_decoder_is_known_by_its_family_as_well() -> None:
    t5 = {"model_type": "t5", "vocab_size": 1000, "d_model": 64, "d_ff": 160, "num_layers": 2, "num_heads": 4}
    with pytest.raises(RecipeError, match="encoder with a decoder"):
        read_architecture(t5)


def test_where_the_sizes_have_no_usual_names_the_family_and_what_is_lacking_are_named() -> None:
    with pytest.raises(RecipeError, match=r"“novel” is not known here.*hidden_size, num_hidden_layers"):
        read_architecture({"model_type": "novel", "vocab_size": 1000, "num_attention_heads": 4, "wide": 64})


def test_a_language_model_within_another_has_the_sizes_of_llama_2_where_nothing_is_said() -> None:
    """As LLaVA 1.5 is published."""
    inner = {"model_type": "llama", "max_position_embeddings": 4096, "vocab_size": 32064}
    found = read_architecture({"model_type": "llava", "text_config": inner, "vision_config": {"hidden_size": 1024}})
    assert (found.family, found.known, found.policy) == ("llava", False, 6_738_939_904)
    assert found.left_out == ("vision_config",)


@pytest.mark.parametrize("given", [None, "", 3, ["llama"], ...])
def test_a_config_that_names_no_architecture_is_of_none(given: Any) -> None:
    named = {} if given is ... else {"model_type": given}
    found = read_architecture({**GROUPED, **named})
    assert (found.family, found.known) == (NAMELESS, False)


@pytest.mark.parametrize("name", ["tie_word_embeddings", "attention_bias", "mlp_bias"])
@pytest.mark.parametrize("value", ["false", 1])
def test_what_is_neither_true_nor_false_is_refused(name: str, value: Any) -> None:
    with pytest.raises(RecipeError, match=name):
        read_architecture({**GROUPED, "model_type": "llama", name: value})


def test_weights_that_are_published_in_fewer_bits_are_told_of() -> None:
    packed = {"quant_method": "gptq", "bits": 4}
    assert read_architecture({**GROUPED, "model_type": "llama", "quantization_config": packed}).left_out
