"""The reward model beside which a run is estimated: one of the project, one that a round will train, or one described
on the command line."""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from training.models import Artifact
from training.recipes import load
from training.recipes.estimate import Architecture, Rewarder
from training.recipes.estimate.adapters import NotKnown, parameters
from training.workflow import artifacts, configs
from training.workflow.cloning import known_settings
from training.workflow.refusals import refused_in_words, require_rewarded


def rewarder_of(reward: Artifact, policy: Artifact) -> Rewarder:
    """Raises BadInput where its config.json is not here yet, BadConfig for settings that are refused today."""
    spec, model = artifacts.model_spec(reward), configs.architecture_of(reward)
    if reward.run is None or reward.run.recipe != "reward":  # registered, or merged
        return Rewarder(model)
    on_policy = {**spec, "adapters": spec["adapters"][:-1]} == artifacts.model_spec(policy)
    return _trained(model, known_settings(reward.run), on_policy)


def rewarder_to_be(settings: Mapping[str, Any], policy: Artifact) -> Rewarder:
    """As it will be trained on the policy. Raises BadInput as `rewarder_of`, and BadConfig for a setting."""
    return _trained(configs.architecture_of(policy), settings, on_policy=True)


def described(recipe: str, config: Path | None, settings: Mapping[str, Any], policy: Path) -> Rewarder | None:
    """By its config.json, where it is not on the policy's base, and the settings it was trained with; None where
    neither is said. Raises BadInput, also for a recipe that has none, and BadConfig."""
    if config is None and not settings:
        return None
    require_rewarded(recipe)
    model = configs.architecture(configs.read_config(config or policy))
    return _trained(model, settings, on_policy=config is None) if settings else Rewarder(model)


def _trained(model: Architecture, settings: Mapping[str, Any], on_policy: bool) -> Rewarder:
    with refused_in_words("reward"):
        config = load("reward", settings)
        with suppress(NotKnown):  # which the estimate tells by itself
            parameters(model, config, "reward")  # refuses what this model cannot have
    return Rewarder(model, config, on_policy and config.artifact_kind == "adapter")
