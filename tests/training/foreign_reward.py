"""A reward model as others train them: a tiny real classifier with one label, its own tokenizer, and no manifest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import LlamaConfig, LlamaForSequenceClassification, Qwen2Config, Qwen2ForSequenceClassification

from tests.training.fixture_model import build_tokenizer
from tests.training.ml.encoders import build_encoder
from training.ml.adapters import save_weights
from training.ml.device import choose_device
from training.ml.job import ModelSpec
from training.ml.load import load_reward_base, load_tokenizer

KINDS = {
    "llama": (LlamaConfig, LlamaForSequenceClassification),
    "qwen2": (Qwen2Config, Qwen2ForSequenceClassification),
}


def build_foreign_reward(path: Path, kind: str = "llama", *, labels: int = 1, seed: int = 3) -> Path:
    """Write model and tokenizer into `path` and return it. Its pad token is not its EOS, as transformers needs it."""
    tokenizer = build_tokenizer()
    configuration, model_class = KINDS[kind]
    settings: dict[str, Any] = {
        "vocab_size": len(tokenizer),
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 1024,
        "bos_token_id": None,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
        "num_labels": labels,
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = model_class(configuration(**settings))
        # A head as drawn gives scores near 0, where every difference would pass for none.
        model.score.weight.data.mul_(50)
    model.save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path


def build_encoder_reward(path: Path) -> Path:
    """As an encoder's whole reward model of ours is exported: its tokenizer has our turns, no EOS but [SEP]."""
    encoder = build_encoder(path.parent / "encoder")
    spec = ModelSpec(str(encoder))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        model = load_reward_base(spec, cache=path.parent, device=choose_device())
    model.score.weight.data.mul_(50)
    save_weights(model, load_tokenizer(spec, cache=path.parent), path)
    return path
