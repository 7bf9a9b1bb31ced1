"""PPO without a reward model: the fixture policy, any function for the reward, and the curves that come of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import trl
from torch import nn
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerBase

from tests.training.fixture_model import build_fixture_model
from training.ml import grpo, rloo
from training.ml.actors import Actors, without_reward_backbone
from training.ml.adapters import apply_adapter
from training.ml.chat import prompt_ids
from training.ml.device import choose_device
from training.ml.group_rollouts import Parts
from training.ml.group_training import train_groups
from training.ml.job import ModelSpec
from training.ml.load import load_policy
from training.ml.ppo_loop import PPO
from training.ml.progress import Progress, read_lines
from training.ml.prompt_data import AskedPrompt
from training.ml.reference import frozen_start
from training.ml.rewarding import Rewarding
from training.ml.rollout import Rollout
from training.recipes.grpo import GRPOConfig
from training.recipes.ppo import PPOConfig
from training.recipes.rloo import RLOOConfig


def sharp_model(path: Path) -> Path:
    """A fixture whose logits are eight times as large: as its tied embeddings stay what they are, a LoRA could not make
    a token likelier than half a percent otherwise."""
    build_fixture_model(path)
    model = AutoModelForCausalLM.from_pretrained(path)
    model.model.norm.weight.data.mul_(8.0)
    model.save_pretrained(path)
    return path


def fixture_policy(base: Path) -> nn.Module:
    return load_policy(ModelSpec(str(base)), cache=base, device=choose_device())


def questions(tokenizer: PreTrainedTokenizerBase, number: int) -> list[AskedPrompt]:
    chats = [[{"role": "user", "content": f"Question {i}"}] for i in range(number)]
    return [AskedPrompt(f"q{i}", chat, prompt_ids(tokenizer, chat)) for i, chat in enumerate(chats)]


def cast(base: Path, config: Any, rewarding: Rewarding) -> Actors:
    torch.manual_seed(0)
    policy = apply_adapter(fixture_policy(base), config, "policy")
    start = frozen_start(policy, config, lambda: fixture_policy(base))
    return without_reward_backbone(policy, start, rewarding, lambda: fixture_policy(base))


def play(
    base: Path, directory: Path, rewarding: Rewarding, *, prompts: int = 8, seed: int = 0, **config: Any
) -> Actors:
    """A whole run; the actors as it leaves them."""
    directory.mkdir(exist_ok=True, parents=True)
    settings = PPOConfig(**config)
    tokenizer = AutoTokenizer.from_pretrained(base)
    actors = cast(base, settings, rewarding)
    asked = questions(tokenizer, prompts)
    PPO(actors, tokenizer, asked, settings, seed=seed, directory=directory, progress=Progress(directory)).train()
    return actors


def play_groups(
    base: Path, directory: Path, rewarding: Rewarding, recipe: str, *, prompts: int = 8, seed: int = 0, **config: Any
) -> nn.Module:
    """The same with RLOO or GRPO; the policy as it is left."""
    directory.mkdir(exist_ok=True, parents=True)
    settings = {"rloo": RLOOConfig, "grpo": GRPOConfig}[recipe](**config)
    tokenizer = AutoTokenizer.from_pretrained(base)
    torch.manual_seed(0)
    policy = apply_adapter(fixture_policy(base), settings, "policy")
    start = frozen_start(policy, settings, lambda: fixture_policy(base))
    where = {"seed": seed, "directory": directory, "progress": Progress(directory)}
    parts = Parts(recipe, policy, start, rewarding, tokenizer, questions(tokenizer, prompts), settings, **where)
    kinds = {"rloo": (rloo.RLOOTrainer, trl.RLOOConfig), "grpo": (grpo.GRPOTrainer, trl.GRPOConfig)}
    train_groups(*kinds[recipe], parts)
    return policy


def steps(directory: Path) -> list[dict[str, float]]:
    lines = read_lines(directory / "progress.jsonl")
    return [line["metrics"] for line in lines if line["kind"] == "step"]


def average(rows: Sequence[dict[str, float]], name: str) -> float:
    return sum(row[name] for row in rows) / len(rows)


def one_arm(rollouts: Sequence[Rollout]) -> list[float]:
    """The bandit: of ten kinds of first tokens one is paid."""
    return [float(rollout.ids[0] % 10 == 3) for rollout in rollouts]


def even_tokens(rollouts: Sequence[Rollout]) -> list[float]:
    """The planted token: the share of the response's tokens that are even."""
    return [sum(token % 2 == 0 for token in rollout.ids) / len(rollout.ids) for rollout in rollouts]
