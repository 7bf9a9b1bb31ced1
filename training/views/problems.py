"""Puts what a verb refused before the person: under the form, or as a message on the page they return to."""

from collections.abc import Callable
from typing import Any, TypeVar

from django import forms
from django.contrib import messages
from django.db import transaction
from django.http import HttpRequest

from annotate.workflow.exceptions import WorkflowError

Made = TypeVar("Made")


def words(error: WorkflowError) -> str:
    """What is wrong and what to do."""
    return f"{error.message} {error.hint}".strip()


def unless_refused(form: forms.Form, verb: Callable[..., Made], *args: Any, **kwargs: Any) -> Made | None:
    """The verb's result; None and an error on the form if it refused: then nothing was made."""
    try:
        with transaction.atomic():
            return verb(*args, **kwargs)
    except WorkflowError as error:
        form.add_error(None, words(error))
        return None


def tell(request: HttpRequest, error: WorkflowError) -> None:
    messages.error(request, words(error), extra_tags="bad")
