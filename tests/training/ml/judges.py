"""Reward models for the runs that need one, of two quick runs on the planted preference; and who plays beside them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.training import fixture_model
from tests.training.ml.jobs import job_of
from tests.training.planted import write_planted
from training.ml import ppo, reward
from training.ml.actors import Actors, shares_backbone
from training.ml.adapters import apply_adapter
from training.ml.device import choose_device
from training.ml.job import Job
from training.ml.load import load_policy, load_tokenizer
from training.ml.reference import frozen_start
from training.ml.rewarding import load_rewarder


def foreign_model(path: Path) -> Path:
    """A fixture of another vocabulary: fewer merges, so that nearly every word is cut otherwise."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fixture_model, "VOCABULARY", 400)
        return fixture_model.build_fixture_model(path)


def lora_judge(directory: Path, model: Path) -> dict[str, Any]:
    """The `reward_model` of a job: an adapter on `model`."""
    data = write_planted(directory / "judge-data", train=48, test=6)
    job = job_of(directory / "judge", "reward", model, data, learning_rate=0.004, rank=8)
    reward.run(job)
    return {"base": str(model), "adapters": [str(job.directory / "artifact")]}


def full_judge(directory: Path, model: Path) -> dict[str, Any]:
    """A whole reward model, on a backbone of its own."""
    data = write_planted(directory / "full-judge-data", train=48, test=6)
    job = job_of(directory / "full-judge", "reward", model, data, learning_rate=0.002, adapter="full")
    reward.run(job)
    return {"base": str(job.directory / "artifact"), "adapters": []}


def actors_of(job: Job) -> Actors:
    """The models of a PPO run, as it sets them up."""
    device = choose_device()

    def load() -> Any:
        return load_policy(job.model, cache=job.cache, device=device)

    torch.manual_seed(0)
    policy = apply_adapter(load(), job.config, "policy")
    tokenizer = load_tokenizer(job.model, cache=job.cache)
    rewarder = None if shares_backbone(job) else load_rewarder(job, device)
    return ppo.cast(job, policy, frozen_start(policy, job.config, load), tokenizer, rewarder, load)
