"""What can be trained or sampled, by name: the recipes' settings as frozen dataclasses; no torch, no Django."""

from __future__ import annotations

from typing import Any

from training.recipes.dpo import DPOConfig
from training.recipes.errors import RecipeError
from training.recipes.export import ExportConfig
from training.recipes.fields import build
from training.recipes.grpo import GRPOConfig
from training.recipes.kto import KTOConfig
from training.recipes.machine import MachineConfig
from training.recipes.merge import MergeConfig
from training.recipes.orpo import ORPOConfig
from training.recipes.playground import PlaygroundConfig
from training.recipes.ppo import OlderPPOConfig, PPOConfig
from training.recipes.reward import RewardConfig
from training.recipes.rloo import RLOOConfig
from training.recipes.sample import SampleConfig
from training.recipes.sft import SFTConfig
from training.recipes.simpo import SimPOConfig
from training.recipes.words import gettext_noop

RECIPES: dict[str, type] = {
    "sample": SampleConfig,
    "sft": SFTConfig,
    "reward": RewardConfig,
    "dpo": DPOConfig,
    "kto": KTOConfig,
    "orpo": ORPOConfig,
    "simpo": SimPOConfig,
    "ppo": PPOConfig,
    "rloo": RLOOConfig,
    "grpo": GRPOConfig,
    "merge": MergeConfig,
    "export": ExportConfig,
    "playground": PlaygroundConfig,
}
# As runs of older versions have them, by a setting that has gone since.
OLDER: dict[str, tuple[str, type]] = {"ppo": ("value_coefficient", OlderPPOConfig)}
# Those that train nothing.
UNTRAINED = ("sample", "merge", "export", "playground")
# Those that leave no model of the project, but `result.json`.
WITHOUT_ARTIFACT = ("sample", "export", "playground")


def load(recipe: str, config: dict[str, Any]) -> Any:
    """The recipe's settings, checked; raises RecipeError naming the field that is unknown, mistyped or out of range."""
    if recipe not in RECIPES:
        said = gettext_noop("There is no recipe %(recipe)s. The recipes are: %(names)s.")
        raise RecipeError("", said, recipe=repr(recipe), names=", ".join(sorted(RECIPES)))
    if not isinstance(config, dict):
        said = gettext_noop("The settings of %(recipe)s must be an object of names and values.")
        raise RecipeError("", said, recipe=repr(recipe))
    return build(RECIPES[recipe], config)


def load_kept(recipe: str, config: dict[str, Any]) -> Any:
    """The same of a run that may be of an older version: it is computed as it was begun."""
    if recipe in OLDER and isinstance(config, dict):
        setting, older = OLDER[recipe]
        if setting in config:
            return build(older, config)
    return load(recipe, config)


def can_be_shared(recipe: str) -> bool:
    """Whether several processes can compute a run of it: sampling, and what draws its own data, take one."""
    return issubclass(RECIPES[recipe], MachineConfig)


__all__ = ["RECIPES", "UNTRAINED", "WITHOUT_ARTIFACT", "RecipeError", "can_be_shared", "load", "load_kept"]
