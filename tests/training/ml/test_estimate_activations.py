"""What the arithmetic says autograd keeps is what it keeps, counted tensor by tensor on tiny real models."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM

from tests.training.ml.trained import SMALL, VARIANTS
from training.ml.adapters import apply_adapter
from training.ml.batching import pad
from training.ml.encoder import EncoderForReward
from training.ml.forward import hidden_states
from training.recipes.adapters import AdapterConfig
from training.recipes.estimate.activations import Batch, block_bytes, saved_bytes
from training.recipes.estimate.families import read_architecture

pytestmark = pytest.mark.not_db
ROWS, LENGTH = 4, 64
SIZES = {
    "vocab_size": 300,
    "hidden_size": 64,
    "intermediate_size": 160,
    "num_hidden_layers": 8,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
}
# As in the large DeBERTa of version 3.
DISTANCES = {"relative_attention": True, "pos_att_type": ["p2c", "c2p"], "position_buckets": 48, "share_att_key": True}
MODELS: dict[str, dict[str, Any]] = {
    "llama": {**SIZES, "model_type": "llama"},
    "qwen2": {**SIZES, "model_type": "qwen2"},
    "qwen3": {**SIZES, "model_type": "qwen3", "head_dim": 32},
    "gemma": {**SIZES, "model_type": "gemma", "head_dim": 16},
    "gemma2": {**SIZES, "model_type": "gemma2", "head_dim": 16},
    "gpt2": {"model_type": "gpt2", "vocab_size": 300, "n_embd": 64, "n_layer": 8, "n_head": 4, "n_positions": 256},
    "mixtral": {**SIZES, "model_type": "mixtral", "num_local_experts": 4, "num_experts_per_tok": 2},
    "qwen2_moe": {**SIZES, "model_type": "qwen2_moe", "num_experts": 8, "num_experts_per_tok": 3}
    | {"moe_intermediate_size": 48, "shared_expert_intermediate_size": 72},
    "qwen3_moe": {**SIZES, "model_type": "qwen3_moe", "num_experts": 8, "num_experts_per_tok": 2, "head_dim": 16}
    | {"moe_intermediate_size": 48},
    "bert": {**SIZES, "model_type": "bert"},
    "mpnet": {**SIZES, "model_type": "mpnet"},
    "deberta-v2": {**SIZES, **DISTANCES, "model_type": "deberta-v2"},
}
ENCODERS = ("bert", "mpnet", "deberta-v2")
WRITTEN_OUT = [(name, variant) for name in ENCODERS[1:] for variant in ("lora", "full", "last_layers")]
WRITTEN_OUT += [("gemma2", variant) for variant in ("lora", "full", "last_layers", "houlsby")]
WRITTEN_OUT += [("deberta-v2", "houlsby"), ("mpnet", "bias")]
DROPOUTS = ("hidden_dropout_prob", "attention_probs_dropout_prob", "attention_dropout")
DROPOUTS += ("attn_pdrop", "embd_pdrop", "resid_pdrop")
FOR_LLAMA = [*VARIANTS]
FOR_OTHERS = ["lora", "full", "ia3", "houlsby", "last_layers"]
MIXTURES = ("mixtral", "qwen2_moe", "qwen3_moe")
OF_MIXTURES = [(name, how) for name in MIXTURES for how in ("lora", "lora-named", "full", "last_layers")]
CASES = [("llama", variant) for variant in FOR_LLAMA if variant != "bias"]
APART = ("llama", "gemma2", *MIXTURES, *ENCODERS[1:])
CASES += [(name, variant) for name in MODELS if name not in APART for variant in FOR_OTHERS]
CASES += [("gpt2", "bias"), ("qwen2", "bias")]
OWN_DROPOUT = [("gpt2", variant) for variant in ("lora", "full", "houlsby", "last_layers", "bias", "prompt_tuning")]
OWN_DROPOUT += [("llama", "lora"), ("llama", "full")]
OF_THE_ADAPTER = [("llama", "lora"), ("gpt2", "lora"), ("llama", "lora-dora"), ("bert", "lora"), ("mpnet", "lora")]
HALF = [("llama", "lora"), ("llama", "ia3"), ("llama", "houlsby"), ("gpt2", "lora")]


@pytest.mark.parametrize(("name", "variant"), CASES)
def test_what_autograd_keeps_is_counted(name: str, variant: str) -> None:
    _compare(name, variant, torch.float32, padded=True)


@pytest.mark.parametrize(("name", "variant"), WRITTEN_OUT)
def test_attention_that_is_written_out_keeps_its_probabilities(name: str, variant: str) -> None:
    """Length by length for every head, so the more of the whole the longer the texts are."""
    for length in (LENGTH, 4 * LENGTH - 16):
        _compare(name, variant, torch.float32, padded=True, length=length)


@pytest.mark.parametrize(("name", "variant"), OWN_DROPOUT)
def test_what_a_model_drops_of_its_own_is_kept_and_so_is_what_is_left_of_it(name: str, variant: str) -> None:
    """Of attention's probabilities length by length: no kernel of a CPU drops them."""
    for length in (LENGTH, 4 * LENGTH - 16):
        _compare(name, variant, torch.float32, padded=True, length=length, own_dropout=True)


@pytest.mark.parametrize(("name", "variant"), OF_THE_ADAPTER)
def test_what_an_adapter_drops_is_kept_for_each_of_its_layers(name: str, variant: str) -> None:
    _compare(name, variant, torch.float32, padded=True, dropout=0.1)


@pytest.mark.parametrize(("name", "how"), OF_MIXTURES)
def test_of_a_mixture_what_every_expert_is_given_and_gives_is_kept(name: str, how: str) -> None:
    more = {"targets": "q_proj"} if how == "lora-named" else {}
    _compare(name, how.partition("-")[0], torch.float32, padded=True, **more)


@pytest.mark.parametrize("variant", ["lora", "full"])
def test_without_padding_there_is_no_mask(variant: str) -> None:
    _compare("llama", variant, torch.float32, padded=False)


@pytest.mark.parametrize(("name", "variant"), HALF)
def test_beside_a_base_in_16_bits_the_adapters_keep_32(name: str, variant: str) -> None:
    _compare(name, variant, torch.bfloat16, padded=True)


def test_with_checkpointing_only_what_goes_into_each_block_is_kept() -> None:
    """And one block at a time, whole, and the mask that is repeated for all, which the hooks do not see: they are made
    again in the backward pass."""
    config = AdapterConfig(adapter="full")
    model = _built(MODELS["llama"], config, torch.float32)
    model.activation_checkpointing_enable(activation_checkpointing_kwargs={"use_reentrant": False})
    whole = read_architecture(MODELS["llama"])
    batch = Batch(ROWS, LENGTH, 1)
    assert (
        block_bytes(whole, config, batch)
        == (saved_bytes(whole, config, batch) - saved_bytes(_with_layers(4), config, batch)) / 4
    )
    mask = 2 * ROWS * LENGTH**2 * batch.width
    found = saved_bytes(whole, config, batch, checkpointing=True) - mask
    assert _kept(model, padded=True) == pytest.approx(found, rel=0.05)


def _with_layers(number: int) -> Any:
    return read_architecture({**MODELS["llama"], "num_hidden_layers": number})


def _compare(
    name: str,
    variant: str,
    dtype: torch.dtype,
    *,
    padded: bool,
    length: int = LENGTH,
    own_dropout: bool = False,
    **more: Any,
) -> None:
    settings = {**SMALL, "layers": 4, **VARIANTS[variant], **more}
    config = AdapterConfig(adapter=variant.partition("-")[0], **settings)
    sizes = MODELS[name] | dict.fromkeys(DROPOUTS, 0.1 if own_dropout else 0.0)
    batch = Batch(ROWS, length, 1, width=dtype.itemsize, padded=padded, own_dropout=own_dropout)
    found = saved_bytes(read_architecture(sizes), config, batch)
    assert _kept(_built(sizes, config, dtype), padded=padded, length=length) == pytest.approx(found, rel=0.04)


def _built(sizes: dict[str, Any], config: AdapterConfig, dtype: torch.dtype) -> nn.Module:
    settings = AutoConfig.for_model(**sizes)
    settings.num_labels = 1
    encoder = sizes["model_type"] in ENCODERS
    if encoder and sizes["model_type"] != "bert":
        settings._attn_implementation = "eager"  # they know no other
    model = EncoderForReward(settings) if encoder else AutoModelForCausalLM.from_config(settings)
    model = model.to(dtype)
    return apply_adapter(model, config, "reward" if encoder else "policy").train()


def _kept(model: nn.Module, *, padded: bool, length: int = LENGTH) -> int:
    """Bytes of all that is saved for the backward pass of the body, weights aside."""
    weights = {one.untyped_storage().data_ptr() for one in (*model.parameters(), *model.buffers())}
    kept: dict[int, int] = {}
    alive = []

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
            alive.append(storage)  # or its address would be given to another
        return tensor.detach()  # a node that kept its own result so would never be let go

    rows = [[5] * (length - (padded and row % 2)) for row in range(ROWS)]
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        hidden_states(model, pad(rows, 0))
    return sum(kept.values())
