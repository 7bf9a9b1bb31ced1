"""The one place where a named error becomes an HTTP status."""

import logging
from collections.abc import Iterator
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.template.loader import render_to_string
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from rest_framework.exceptions import ValidationError
from rest_framework.response import Response
from rest_framework.settings import api_settings
from rest_framework.views import exception_handler

from annotate.workflow.error_body import body_of
from annotate.workflow.exceptions import DATABASE_AWAY, WorkflowError

RETRY_AFTER = {"Retry-After": "5"}  # seconds

logger = logging.getLogger(__name__)


class DatabaseAway(WorkflowError):
    status = 503

    def __init__(self) -> None:
        super().__init__(
            _("The database does not answer just now: it is being restarted, busy, or out of reach."),
            _("Nothing half-done was stored. Try again in a moment; the server’s log has the reason."),
        )


def api_exception_handler(error: Exception, context: dict[str, Any]) -> Response | None:
    """Every error of the API in one form: `code`, `detail`, `hint`, and `field` where one input is at fault. Where
    there may be several, `errors` lists them."""
    if isinstance(error, DATABASE_AWAY):
        logger.error("The database does not answer.", exc_info=error)
        away = DatabaseAway()
        return Response(body_of(away), status=away.status, headers=RETRY_AFTER)
    if isinstance(error, WorkflowError):
        return Response(body_of(error), status=error.status)
    response = exception_handler(error, context)
    if response is not None:
        response.data = _in_one_form(error, response.data)
    return response


def _in_one_form(error: Exception, data: Any) -> dict[str, Any]:
    """Of what DRF's handler answers: {"detail"} of one error, or messages by field."""
    if isinstance(error, Http404):  # whose words name a class of ours
        detail = _("There is nothing at this address: it was deleted, or is not of this project.")
        return {"code": "not_found", "detail": detail, "hint": _("Ask for the list that it stood in.")}
    if not isinstance(error, ValidationError):
        detail = data["detail"]
        return {"code": detail.code, "detail": detail, "hint": ""}
    errors = list(_by_field(data))
    first = errors[0] if errors else {"field": "", "message": ""}
    hint = _("Mend what “errors” names, and send it again.")
    body = {"code": "invalid", "detail": first["message"], "hint": hint, "errors": errors, "total": len(errors)}
    return {**body, "field": first["field"]} if first["field"] else body


def _by_field(data: Any, field: str = "") -> Iterator[dict[str, str]]:
    """The messages, each with the path to its field, as in `models.0`."""
    if isinstance(data, str):
        yield {"field": field, "message": data}
        return
    under = (
        data.items() if isinstance(data, dict) else ((n if isinstance(v, dict) else "", v) for n, v in enumerate(data))
    )
    for name, value in under:
        own = "" if name == api_settings.NON_FIELD_ERRORS_KEY else str(name)
        yield from _by_field(value, ".".join(part for part in (field, own) if part))


def problem_response(request: HttpRequest, error: WorkflowError) -> HttpResponse:
    """A fragment with the status for HTMX; after a form the page it stood on, with the message; else a page."""
    context = {"problem": error}
    if request.headers.get("HX-Request"):
        return render(request, "components/problem.html", context, status=error.status)
    before = request.headers.get("Referer", "")
    if request.method == "POST" and _is_ours(request, before):
        messages.error(request, f"{error.message} {error.hint}".strip())
        return redirect(before)
    return render(request, "problem.html", context, status=error.status)


def database_away_response(request: HttpRequest, error: Exception) -> HttpResponse:
    """Of a template that asks the database nothing; to HTMX as a fragment."""
    logger.error("The database does not answer: %s", request.path, exc_info=error)
    name = "components/problem.html" if request.headers.get("HX-Request") else "503.html"
    away = DatabaseAway()
    return HttpResponse(render_to_string(name, {"problem": away}), status=away.status, headers=RETRY_AFTER)


def _is_ours(request: HttpRequest, address: str) -> bool:
    return url_has_allowed_host_and_scheme(address, {request.get_host()}, require_https=request.is_secure())
