"""What a recipe refuses, in the reader's language."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.utils.translation import gettext as _

from training.recipes import RecipeError
from training.recipes.estimate import DRAWN
from training.workflow.exceptions import BadConfig, BadInput
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


def require_rewarded(recipe: str) -> None:
    """Raises BadInput for a recipe that no reward model takes part in."""
    if recipe not in DRAWN:
        said = _("“%(recipe)s” uses no reward model.") % {"recipe": recipe}
        raise BadInput(said, _("Leave it out."), where="reward_model")
