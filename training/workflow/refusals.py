"""What a recipe refuses, as BadConfig in the reader's language."""

from collections.abc import Iterator
from contextlib import contextmanager

from training.recipes import RecipeError
from training.workflow.exceptions import BadConfig
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
