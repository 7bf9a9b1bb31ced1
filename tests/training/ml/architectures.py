"""Tiny models of other architectures than the fixture's, all with its tokenizer: biases, fused layers, an encoder."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    GPT2Config,
    GPT2LMHeadModel,
    PreTrainedModel,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from tests.training.fixture_model import build_tokenizer


def build_architecture(name: str, path: Path) -> Path:
    """Write a model of kind "qwen2", "gpt2" or "bert" with its tokenizer into `path`, and return it."""
    tokenizer = build_tokenizer()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = _models()[name](len(tokenizer), tokenizer.eos_token_id, tokenizer.pad_token_id)
        # Biases begin at zero, where half of what could go wrong with them would not show.
        for key, weight in model.named_parameters():
            if key.endswith("bias"):
                torch.nn.init.normal_(weight, std=0.02)
    model.save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path


def _models() -> dict:
    return {"qwen2": _qwen2, "gpt2": _gpt2, "bert": _bert}


def _qwen2(words: int, eos: int, pad: int) -> PreTrainedModel:
    return Qwen2ForCausalLM(
        Qwen2Config(
            vocab_size=words,
            hidden_size=64,
            intermediate_size=128,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=1024,
            tie_word_embeddings=False,
            bos_token_id=None,
            eos_token_id=eos,
            pad_token_id=pad,
        )
    )


def _gpt2(words: int, eos: int, pad: int) -> PreTrainedModel:
    config = GPT2Config(
        vocab_size=words, n_positions=1024, n_embd=64, n_layer=2, n_head=4, bos_token_id=None, eos_token_id=eos
    )
    config.pad_token_id = pad
    config.attn_pdrop = config.embd_pdrop = config.resid_pdrop = 0.0
    return GPT2LMHeadModel(config)


def _bert(words: int, eos: int, pad: int) -> PreTrainedModel:
    config = BertConfig(
        vocab_size=words,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=1024,
        pad_token_id=pad,
        num_labels=1,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    return BertForSequenceClassification(config)
