"""What every page gets: the content security policy, and a readable answer to a `WorkflowError`."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

from annotate.workflow.exceptions import DATABASE_AWAY, WorkflowError
from workbench.errors import database_away_response, problem_response

# Inline styles are allowed for the chart library, which injects a style element; scripts never are inline.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    "font-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


class ContentSecurityPolicyMiddleware:
    """Whatever slipped through the sanitiser would still not be executed (invariant 9)."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        response.headers.setdefault("Content-Security-Policy", POLICY)
        return response


class WorkflowErrorMiddleware:
    """A `WorkflowError` that no view has caught: as a fragment, a message or a page. A database that does not answer is
    none of the server's mistakes either."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        if isinstance(error, DATABASE_AWAY):
            return database_away_response(request, error)
        return problem_response(request, error) if isinstance(error, WorkflowError) else None
