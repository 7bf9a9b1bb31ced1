"""A tiny model trained for a few steps by any adapter method, for either task, and saved as an artifact."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from training.ml.adapters import apply_adapter, save_weights
from training.ml.artifact import FORMAT, weights_sha256
from training.ml.batching import pad
from training.ml.chat import encode
from training.ml.device import Device, choose_device
from training.ml.job import ModelSpec
from training.ml.load import load_policy, load_reward_base, load_reward_model, load_speaker, load_tokenizer
from training.ml.logprobs import completion_logits
from training.ml.precision import for_training
from training.ml.scoring import rewards
from training.recipes.adapters import AdapterConfig
from training.recipes.reward import RewardConfig

SMALL = {"rank": 4, "bottleneck": 8, "virtual_tokens": 5, "encoder_hidden": 16, "layers": 1}
# Every method, and every way of it that is another computation.
VARIANTS: dict[str, dict] = {
    "lora": {},
    "lora-rslora": {"rslora": True},
    "lora-dora": {"dora": True},
    "qlora": {},
    "qlora-dora": {"dora": True},
    "ia3": {},
    "houlsby": {},
    "prefix": {},
    "p_tuning_v2": {},
    "p_tuning-mlp": {"encoder": "mlp"},
    "p_tuning-lstm": {"encoder": "lstm"},
    "prompt_tuning": {},
    "last_layers": {},
    "bias": {},
    "full": {},
}
MERGEABLE = [name for name in VARIANTS if name.startswith(("lora", "qlora", "ia3", "last", "bias"))]
TEXTS = [
    ([{"role": "user", "content": "How do I bake bread?"}], "First, mix flour and water."),
    ([{"role": "user", "content": "Hi"}], "Yes."),
    ([{"role": "user", "content": "Plan a day in the mountains, please, with a walk."}], "Get up early. " * 5),
    ([{"role": "user", "content": "什么是重力?"}], ""),
]


@dataclass(frozen=True)
class Trained:
    """`model` as training left it; `artifact` as it was saved; `started` what it was before the first step."""

    variant: str
    task: str
    base: Path
    config: AdapterConfig
    model: nn.Module
    artifact: Path
    started: dict[str, Tensor]

    @cached_property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        return load_tokenizer(ModelSpec(str(self.base)), cache=self.base)

    @property
    def spec(self) -> ModelSpec:
        if self.config.artifact_kind == "full":
            return ModelSpec(str(self.artifact))
        return ModelSpec(str(self.base), (str(self.artifact),))

    def sequences(self, *, eos: bool = True) -> list[list[int]]:
        whole = [encode(self.tokenizer, *text).ids for text in TEXTS]
        return whole if eos else [ids[:-1] for ids in whole]

    def reloaded(self) -> nn.Module:
        load = load_reward_model if self.task == "reward" else load_speaker
        return load(self.spec, cache=self.base, device=choose_device())

    def fresh(self, seed: int = 0) -> nn.Module:
        return untrained(self.config, self.task, self.base, seed)

    def bare(self) -> nn.Module:
        return bare(self.config, self.task, self.base)

    def outcome(self, model: nn.Module) -> Tensor:
        """Scores [texts], or logits of all tokens but the first of each text [tokens, vocabulary]."""
        return self.outcome_of(model, self.sequences())

    def outcome_of(self, model: nn.Module, sequences: list[list[int]]) -> Tensor:
        return outcome(model, self.task, sequences)


def configured(variant: str, **settings: object) -> AdapterConfig:
    return AdapterConfig(adapter=variant.partition("-")[0], **{**SMALL, **VARIANTS[variant], **settings})


def device_for(config: AdapterConfig) -> Device:
    return for_training(choose_device(), config)


def untrained(config: AdapterConfig, task: str, base: Path, seed: int = 0) -> nn.Module:
    return apply_adapter(bare(config, task, base, seed), config, task).eval()


def bare(config: AdapterConfig, task: str, base: Path, seed: int = 0) -> nn.Module:
    """What the adapter is put onto; the seed draws the head of a reward model, and the adapter afterwards."""
    given = {"cache": base, "device": device_for(config)}
    torch.manual_seed(seed)
    if task == "policy":
        return load_policy(ModelSpec(str(base)), **given)
    return load_reward_base(ModelSpec(str(base)), members=getattr(config, "members", 1), **given)


def train_briefly(variant: str, task: str, base: Path, directory: Path, members: int = 1) -> Trained:
    """`members` heads of a reward model that is trained whole."""
    config = configured(variant) if members == 1 else RewardConfig(adapter=variant, members=members)
    model = untrained(config, task, base)
    started = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    sequences = Trained(variant, task, base, config, model, directory, {}).sequences()
    optimizer = torch.optim.AdamW([weight for weight in model.parameters() if weight.requires_grad], lr=0.02)
    signs = torch.tensor([1.0, -1.0, 1.0, -1.0])
    for _ in range(4):
        found = outcome(model, task, sequences)
        loss = (found * signs).sum() if task == "reward" else found.logsumexp(1).sum() - found[:, :50].sum()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    directory.mkdir(parents=True)
    save_weights(model, load_tokenizer(ModelSpec(str(base)), cache=base), directory)
    manifest = {"format": FORMAT, "task": task, "weights_sha256": weights_sha256(directory)}
    manifest["config"] = {"members": members}
    (directory / "manifest.json").write_text(json.dumps(manifest))
    return Trained(variant, task, base, config, model, directory, started)


def outcome(model: nn.Module, task: str, sequences: list[list[int]]) -> Tensor:
    if task == "reward":
        return rewards(model, pad(sequences, 0))
    return completion_logits(model, [(ids[:1], ids[1:]) for ids in sequences])[0]
