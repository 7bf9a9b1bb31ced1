"""Puts what a verb refused before the person: under the form, or as a message on the page they return to."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from django import forms
from django.contrib import messages
from django.db import transaction
from django.http import HttpRequest

from annotate.workflow.exceptions import UploadRejected, WorkflowError
from training.forms import RecipeForm
from training.workflow.exceptions import BadConfig

Made = TypeVar("Made")


def words(error: WorkflowError) -> str:
    """What is wrong and what to do."""
    return f"{error.message} {error.hint}".strip()


def unless_refused(
    form: forms.Form, verb: Callable[..., Made], *args: Any, stages: Sequence[RecipeForm] = (), **kwargs: Any
) -> Made | None:
    """The verb's result; None and an error at the field at fault if it refused: then nothing was made. The lines of a
    rejected upload have a place of their own in a page: that is raised."""
    try:
        with transaction.atomic():
            return verb(*args, **kwargs)
    except UploadRejected:
        raise
    except WorkflowError as error:
        _put(error, form, stages)
        return None


def _put(error: WorkflowError, form: forms.Form, stages: Sequence[RecipeForm]) -> None:
    if isinstance(error, BadConfig):
        for stage in stages:
            if stage.recipe == error.recipe and error.field in stage.fields:
                stage.add_error(error.field, f"{error.said} {error.hint}".strip())
                return
    form.add_error(error.where if error.where in form.fields else None, words(error))


def tell(request: HttpRequest, error: WorkflowError) -> None:
    messages.error(request, words(error), extra_tags="bad")
