"""What can be trained or sampled, by name: the recipes' settings as frozen dataclasses; no torch, no Django."""

from __future__ import annotations

from typing import Any

from training.recipes.dpo import DPOConfig
from training.recipes.errors import RecipeError
from training.recipes.fields import build
from training.recipes.reward import RewardConfig
from training.recipes.sample import SampleConfig

RECIPES: dict[str, type] = {
    "sample": SampleConfig,
    "reward": RewardConfig,
    "dpo": DPOConfig,
}


def load(recipe: str, config: dict[str, Any]) -> Any:
    """The recipe's settings, checked; raises RecipeError naming the field that is unknown, mistyped or out of range."""
    if recipe not in RECIPES:
        raise RecipeError("", f"There is no recipe {recipe!r}. The recipes are: {', '.join(sorted(RECIPES))}.")
    if not isinstance(config, dict):
        raise RecipeError("", f"The settings of {recipe!r} must be an object of names and values.")
    return build(RECIPES[recipe], config)


__all__ = ["RECIPES", "RecipeError", "load"]
