"""Starts a run like an earlier one, with changes: the same inputs, seed and settings but for what is said."""

from dataclasses import asdict, fields
from typing import Any

from django.utils.translation import gettext as _

from annotate.models import User
from training.models import Run
from training.recipes import RECIPES, RecipeError, load
from training.workflow.exceptions import BadInput
from training.workflow.starting import start_training

INPUTS = ("snapshot", "model", "reward_model", "demonstrations", "feedback", "seed", "priority", "device")


def clone(
    run: Run, config: dict[str, Any], *, recipe: str = "", name: str = "", actor: User | None = None, **changed: Any
) -> Run:
    """`config` and `changed` (any of INPUTS; None leaves one as it was) say what is different.

    Raises BadInput if another recipe is asked for, and whatever `start_training` refuses.
    """
    if recipe and recipe != run.recipe:
        raise BadInput(
            _("Run %(id)s is of the recipe “%(recipe)s”, not “%(asked)s”.")
            % {"id": run.pk, "recipe": run.recipe, "asked": recipe},
            _("Leave the recipe out, or start a run of the other one by itself."),
            where="recipe",
        )
    given = {key: value for key, value in changed.items() if value is not None}
    inputs = inputs_of(run) | _replaced(given) | given
    inputs["config"] = settings_to_begin_with(run) | config
    return start_training(run.project, run.recipe, **inputs, name=name, actor=actor)


def _replaced(given: dict[str, Any]) -> dict[str, None]:
    """A snapshot stands in place of feedback, and the reverse."""
    return {other: None for one, other in (("snapshot", "feedback"), ("feedback", "snapshot")) if one in given}


def inputs_of(run: Run) -> dict[str, Any]:
    return {name: getattr(run, name) for name in INPUTS}


def known_settings(run: Run) -> dict[str, Any]:
    """Its settings, as far as today's recipe has them."""
    return {name: value for name, value in run.config.items() if name in _names(run)}


def settings_to_begin_with(run: Run) -> dict[str, Any]:
    """Its settings for a run like it. A learning rate that is the customary one of its adapter is left open: with
    another adapter the new run gets that one's, and with the same one the same."""
    settings = known_settings(run)
    customary = {name: value for name, value in settings.items() if name != "learning_rate"}
    if (
        "learning_rate" in settings
        and _settled(run.recipe, customary).get("learning_rate") == settings["learning_rate"]
    ):
        return customary
    return settings


def _settled(recipe: str, config: dict[str, Any]) -> dict[str, Any]:
    """Nothing of what today's recipe refuses: whoever starts the run is told."""
    try:
        return asdict(load(recipe, config))
    except RecipeError:
        return {}


def forgotten_settings(run: Run) -> list[str]:
    """Settings of an older version of its recipe: a clone cannot have them."""
    return [name for name in run.config if name not in _names(run)]


def _names(run: Run) -> set[str]:
    return {field.name for field in fields(RECIPES[run.recipe])} if run.recipe in RECIPES else set()
