"""The one place where a named error becomes an HTTP status."""

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.http import url_has_allowed_host_and_scheme
from rest_framework.response import Response
from rest_framework.views import exception_handler

from annotate.workflow.exceptions import UploadRejected, WorkflowError


def api_exception_handler(error: Exception, context: dict[str, Any]) -> Response | None:
    """DRF's own handler, and ours for `WorkflowError`."""
    if isinstance(error, WorkflowError):
        body: dict[str, Any] = {"code": type(error).__name__, "detail": error.message, "hint": error.hint}
        if error.where:
            body["field"] = error.where
        if isinstance(error, UploadRejected):
            body["errors"] = [{"line": e.line, "field": e.field, "message": e.message} for e in error.errors]
            body["total"] = error.total
        return Response(body, status=error.status)
    return exception_handler(error, context)


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


def _is_ours(request: HttpRequest, address: str) -> bool:
    return url_has_allowed_host_and_scheme(address, {request.get_host()}, require_https=request.is_secure())
