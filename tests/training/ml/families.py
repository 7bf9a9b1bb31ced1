"""Tiny models of every family that reads rows, with random weights: no tokenizer, tokens are numbers."""

from __future__ import annotations

import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

SHAPE = {
    "vocab_size": 97,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
OWN = {
    "mistral": {"sliding_window": None},
    "phi3": {"sliding_window": None},
    "starcoder2": {"sliding_window": None, "residual_dropout": 0.0, "embedding_dropout": 0.0},
    "gpt_neox": {"num_key_value_heads": 4},
    "gpt2": {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0},
}


def build_family(name: str, **settings: object) -> PreTrainedModel:
    torch.manual_seed(0)
    config = AutoConfig.for_model(name, **{**SHAPE, **OWN.get(name, {}), **settings})
    model = AutoModelForCausalLM.from_config(config, attn_implementation="sdpa")
    for weight in model.parameters():  # large enough that who sees whom matters
        torch.nn.init.normal_(weight, std=0.2)
    return model.eval()
