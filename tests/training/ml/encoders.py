"""Tiny real encoders of every family that may start a reward run, with a WordPiece tokenizer that has CLS and SEP."""

from __future__ import annotations

from pathlib import Path

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import (
    AlbertConfig,
    AutoModel,
    BertConfig,
    CamembertConfig,
    DebertaV2Config,
    DistilBertConfig,
    ElectraConfig,
    ModernBertConfig,
    MPNetConfig,
    PretrainedConfig,
    PreTrainedTokenizerFast,
    RobertaConfig,
    XLMRobertaConfig,
)

from tests.training.fixture_model import CORPUS

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
CONTEXT = 512
SIZES = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": CONTEXT,
    "pad_token_id": 0,
}
STILL = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
FAMILIES: dict[str, tuple[type[PretrainedConfig], dict]] = {
    "bert": (BertConfig, SIZES | STILL),
    "roberta": (RobertaConfig, SIZES | STILL),
    "xlm-roberta": (XLMRobertaConfig, SIZES | STILL),
    "camembert": (CamembertConfig, SIZES | STILL),
    "electra": (ElectraConfig, SIZES | STILL | {"embedding_size": 32}),
    "mpnet": (MPNetConfig, SIZES | STILL | {"pad_token_id": 1}),
    "albert": (AlbertConfig, SIZES | STILL | {"embedding_size": 32, "classifier_dropout_prob": 0.0}),
    "deberta-v2": (DebertaV2Config, SIZES | STILL | {"relative_attention": True, "pos_att_type": ["p2c", "c2p"]}),
    "distilbert": (
        DistilBertConfig,
        {"dim": 64, "hidden_dim": 128, "n_layers": 2, "n_heads": 4, "pad_token_id": 0, "dropout": 0.0}
        | {"attention_dropout": 0.0, "max_position_embeddings": CONTEXT},
    ),
    "modernbert": (
        ModernBertConfig,
        SIZES | {"local_attention": 8, "global_attn_every_n_layers": 2, "cls_token_id": 2, "sep_token_id": 3}
        | {"bos_token_id": 2, "eos_token_id": 3},
    ),
}  # fmt: skip


def build_encoder(path: Path, family: str = "bert") -> Path:
    """Write model and tokenizer into `path` and return it; the same family gives the same weights."""
    tokenizer = build_tokenizer()
    kind, settings = FAMILIES[family]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = AutoModel.from_config(kind(vocab_size=len(tokenizer), **settings))
        for name, weight in model.named_parameters():
            if name.endswith("bias"):
                torch.nn.init.normal_(weight, std=0.02)
    model.save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path


def build_tokenizer() -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(vocab_size=800, special_tokens=SPECIAL, show_progress=False)
    tokenizer.train_from_iterator(CORPUS.strip().splitlines(), trainer)
    names = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, mask_token="[MASK]", model_max_length=CONTEXT, **names)
