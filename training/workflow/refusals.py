"""What a recipe, or whoever loads models, refuses, in the reader's language."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from django.utils.translation import gettext as _

from annotate.models import Project
from training import recipes
from training.models import Artifact, Task
from training.recipes import RecipeError
from training.recipes.estimate import DRAWN
from training.workflow.exceptions import BadConfig, BadInput, ModelRefused
from training.workflow.told import in_readers_language


@contextmanager
def refused_in_words(recipe: str, hint: str = "") -> Iterator[None]:
    """Raises BadConfig, naming the field, for a RecipeError."""
    try:
        yield
    except RecipeError as error:
        said = in_readers_language(error.message, error.template, error.values)
        named = f"{recipe}.{error.field}: {said}" if error.field else said
        raise BadConfig(named, hint, field=error.field, recipe=recipe, said=said) from error


def checked_config(recipe: str, config: dict[str, Any]) -> dict[str, Any]:
    """The recipe's settings, complete; raises BadConfig naming the field."""
    with refused_in_words(recipe, _("Correct the setting and start again.")):
        return asdict(recipes.load(recipe, config))


def require_rewarded(recipe: str) -> None:
    """Raises BadInput for a recipe that no reward model takes part in; what is sampled may be scored."""
    if recipe not in (*DRAWN, "sample"):
        said = _("“%(recipe)s” uses no reward model.") % {"recipe": recipe}
        raise BadInput(said, _("Leave it out."), where="reward_model")


def require_task(project: Project, model: Artifact, task: Task, hint: str, where: str) -> None:
    """Raises BadInput or ModelRefused, naming the input `where`: not the project's own, gone, or of another task."""
    if model.project_id != project.pk:
        raise BadInput(_("“%(name)s” is a model of another project.") % {"name": model}, hint, where=where)
    if model.deleted_at:
        raise ModelRefused(_("“%(name)s” has been deleted.") % {"name": model}, hint, where=where)
    if model.task != task:
        said = _("“%(name)s” cannot be used here: %(task)s.")
        raise ModelRefused(said % {"name": model, "task": model.get_task_display()}, hint, where=where)
