"""Refuses a body that is larger than anything the workbench takes, before a byte of it is read."""

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.utils.translation import gettext as _

from annotate.workflow.exceptions import WorkflowError


class BodyTooLarge(WorkflowError):
    """Nothing that is uploaded or sent to the API is as large as this."""

    status = 413


class BodyOfUnknownLength(WorkflowError):
    """Sent in chunks: how much it will be is known at its end only, and the web server leaves it unread."""

    status = 411


class BodyLimitMiddleware:
    """Stands before whatever reads a body, CsrfViewMiddleware first: Django writes an upload of any size to disk before
    a form, or a sign-in, is asked. A form of uploads has its own, smaller limit, which can say more."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_view(self, request: HttpRequest, *_view: Any) -> HttpResponse | None:
        error = _refusal(request)
        return _answer(request, error) if error else None


def _refusal(request: HttpRequest) -> WorkflowError | None:
    length = request.META.get("CONTENT_LENGTH") or ""
    if not length and request.META.get("HTTP_TRANSFER_ENCODING"):
        return BodyOfUnknownLength(
            _("The request does not say how long its body is."), _("Send it whole, with a Content-Length.")
        )
    # Django takes what is no number for an empty body.
    if not length.isdecimal() or (len(length) < 16 and int(length) <= settings.LARGEST_BODY):
        return None
    most = settings.LARGEST_BODY // 2**20
    return BodyTooLarge(
        _("The request is larger than %(n)s MB, more than the workbench takes at once.") % {"n": most},
        _("Upload the file in parts."),
    )


def _answer(request: HttpRequest, error: WorkflowError) -> HttpResponse:
    """Never a redirect: the page it came from would be drawn while the body is still on its way."""
    if request.path_info.startswith("/api/"):
        body = {"code": type(error).__name__, "detail": error.message, "hint": error.hint}
        return JsonResponse(body, status=error.status)
    template = "components/problem.html" if request.headers.get("HX-Request") else "problem.html"
    return render(request, template, {"problem": error}, status=error.status)
