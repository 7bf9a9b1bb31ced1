"""The reward model beside which a run is estimated: one of the project, one that a round will train, or one described
on the command line."""

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from training.models import Artifact
from training.recipes import load
from training.recipes.estimate import Rewarder
from training.recipes.estimate.adapters import parameters
from training.recipes.reward import RewardConfig
from training.workflow import artifacts, configs
from training.workflow.refusals import refused_in_words


def rewarder_of(reward: Artifact, policy: Artifact) -> Rewarder:
    """Raises BadInput where its config.json is not here yet."""
    spec = artifacts.model_spec(reward)
    on_policy = reward.is_adapter and {**spec, "adapters": spec["adapters"][:-1]} == artifacts.model_spec(policy)
    own = {field.name for field in fields(RewardConfig)}
    # One that was registered, or merged, has no such settings.
    trained = reward.run is not None and reward.run.recipe == "reward"
    known = {name: value for name, value in artifacts.config_of(reward).items() if name in own}
    return Rewarder(configs.architecture_of(reward), load("reward", known) if trained else None, on_policy)


def rewarder_to_be(settings: Mapping[str, Any], policy: Artifact) -> Rewarder:
    """As it will be trained on the policy. Raises BadInput as `rewarder_of`, and BadConfig for a setting."""
    with refused_in_words("reward"):
        config = load("reward", settings)
    return Rewarder(configs.architecture_of(policy), config, on_policy=config.artifact_kind == "adapter")


def described(config: Path | None, settings: Mapping[str, Any], policy: Path) -> Rewarder | None:
    """By its config.json, where it is not on the policy's base, and the settings it was trained with; None where
    neither is said. Raises BadInput and BadConfig."""
    if config is None and not settings:
        return None
    model = configs.architecture(configs.read_config(config or policy))
    with refused_in_words("reward"):
        made = load("reward", settings) if settings else None
        if made:
            parameters(model, made, "reward")  # refuses what this model cannot have
    return Rewarder(model, made, on_policy=config is None and made is not None and made.artifact_kind == "adapter")
