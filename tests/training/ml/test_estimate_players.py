"""Who stands beside PPO's policy in memory, as the estimate counts it and as a run sets it up: to the byte."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from torch import nn

from tests.training.ml.encoders import build_encoder
from tests.training.ml.jobs import job_of
from tests.training.ml.judges import actors_of, foreign_model
from tests.training.planted import write_planted
from training.ml import reward
from training.ml.actors import Actors
from training.ml.rewarding import RewardModel
from training.recipes import load
from training.recipes.estimate import Rewarder, read_architecture
from training.recipes.estimate.layout import Architecture
from training.recipes.estimate.memory import memory
from training.recipes.estimate.workload import workload

MOMENTS_AND_GRADIENT = 12  # bytes for each trained number, beside its own four
SMALL = {"rank": 4, "bottleneck": 8, "virtual_tokens": 5, "layers": 1}


@dataclass(frozen=True)
class Case:
    """The policy's adapter, the reward model's settings, and the model that was trained on: the policy's if none."""

    policy: str
    trained: dict[str, Any]
    of: str = ""


CASES = {
    "one LoRA beside the other": Case("lora", {"rank": 8}),
    "of few layers": Case("lora", {"targets": "q_proj", "rank": 2}),
    "heads on one LoRA": Case("lora", {"members": 3}),
    "an ensemble of LoRAs": Case("lora", {"members": 3, "ensemble_of": "adapters"}),
    "a whole one": Case("lora", {"adapter": "full"}),
    "a LoRA, and another policy": Case("houlsby", {}),
    "a whole policy": Case("full", {}),
    "an adapter that stays": Case("lora", {"adapter": "houlsby"}),
    "beside an adapter that stays": Case("ia3", {"adapter": "p_tuning_v2"}),
    "virtual tokens, and not what made them": Case("lora", {"adapter": "prefix"}),
    "virtual tokens before the text": Case("ia3", {"adapter": "p_tuning"}),
    "with DoRA": Case("lora", {"dora": True}),
    "a policy with DoRA": Case("lora-dora", {}),
    "4 bits": Case("lora", {"adapter": "qlora"}),
    "4 bits beside 4 bits": Case("qlora", {"adapter": "qlora"}),
    "beside a policy in 4 bits": Case("qlora", {}),
    "another vocabulary beside a policy in 4 bits": Case("qlora", {}, "foreign"),
    "its head alone": Case("lora", {"adapter": "head"}),
    "another vocabulary": Case("lora", {}, "foreign"),
    "another vocabulary, and another policy": Case("houlsby", {}, "foreign"),
    "an encoder": Case("lora", {"adapter": "full"}, "encoder"),
    "a LoRA on an encoder": Case("ia3", {}, "encoder"),
}


@pytest.mark.parametrize("name", CASES)
def test_what_stands_beside_the_policy_is_counted(name: str, fixture_model: Path, tmp_path: Path) -> None:
    case = CASES[name]
    base = (
        {"foreign": foreign_model, "encoder": build_encoder}[case.of](tmp_path / "base") if case.of else fixture_model
    )
    data = write_planted(tmp_path / "data", train=4, test=2)
    trained = job_of(tmp_path / "reward", "reward", base, data, epochs=1, **{**SMALL, **case.trained})
    reward.run(trained)
    artifact, whole = str(trained.directory / "artifact"), trained.config.artifact_kind == "full"
    spec = {"base": artifact if whole else str(base), "adapters": [] if whole else [artifact]}
    adapter, _, dora = case.policy.partition("-")
    settings = {"adapter": adapter, "dora": bool(dora), **SMALL}
    actors = actors_of(job_of(tmp_path / "ppo", "ppo", fixture_model, data, reward_model=spec, **settings))

    config = load("ppo", settings)
    rewarder = Rewarder(sizes(base), trained.config, on_policy=not case.of and not whole)
    found = memory(sizes(fixture_model), config, workload("ppo", config), "cpu", rewarder).parts
    learning = sum(weight.numel() for weight in actors.value.weights())
    counted = found["weights"] + found["reference"] + found["reward"] + found["value"]
    packed = "qlora" in (case.policy, trained.config.adapter)  # blocks of 64 do not come out even here
    assert counted - MOMENTS_AND_GRADIENT * learning == pytest.approx(held(actors), rel=0.02 if packed else 0)


def sizes(model: Path) -> Architecture:
    return read_architecture(json.loads((model / "config.json").read_text()))


def held(actors: Actors) -> int:
    """Bytes of all parameters, each once, and of the scales of those in 4 bits."""
    models = [actors.policy, actors.value.body, actors.value.head]
    models += [part for part in closed_over(actors.rewarding) if isinstance(part, nn.Module)]
    with actors.reference() as start:
        models.append(start)
    storages = {}
    for weight in (weight for model in models for weight in model.parameters()):
        storages[weight.untyped_storage().data_ptr()] = weight.numel() * weight.element_size()
    return sum(storages.values()) + sum(scales(weight) for model in models for weight in model.parameters())


def scales(weight: nn.Parameter) -> int:
    state = getattr(weight, "quant_state", None)
    parts = [] if state is None else [state.absmax, *([state.state2.absmax] if state.nested else [])]
    return sum(part.numel() * part.element_size() for part in parts)


def closed_over(rewarding: Any) -> list[Any]:
    """The reward model, or what stands beside it where its adapter is put on for as long as it scores."""
    parts = [rewarding] if isinstance(rewarding, RewardModel) else vars(rewarding).values()
    return [part.model if isinstance(part, RewardModel) else part for part in parts]
