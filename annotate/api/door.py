"""`project_api`: an API view of one project, through `access.py`; `page_of`: a list, page by page."""

from collections.abc import Callable
from functools import partial, wraps
from typing import Any

from django.db.models import QuerySet
from rest_framework.decorators import api_view
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer

from annotate.access import project_for
from annotate.api.asked import Pages
from annotate.api.keys import IN_SCHEMA, Keeping, answered_once
from annotate.models import Role

View = Callable[..., Response]


def project_api(methods: dict[str, Role], once: Keeping | None = None) -> Callable[[View], View]:
    """A view of `(request, slug, ...)` gets `(request, project, ...)`; `methods` names the role each method needs. With
    `once` (one of `workflow/once.py`) its POST takes an `Idempotency-Key`."""

    def decorate(view: View) -> View:
        @api_view(list(methods))
        @wraps(view)
        def guarded(request: Request, slug: str, *args: Any, **kwargs: Any) -> Response:
            project, _role = project_for(request.user, slug, methods[request.method or "GET"])
            act = partial(view, request, project, *args, **kwargs)
            return answered_once(request, once, act) if once and request.method == "POST" else act()

        return IN_SCHEMA(guarded) if once else guarded

    return decorate


def page_of(request: Request, rows: QuerySet[Any], serializer: type[BaseSerializer[Any]]) -> Response:
    """`?limit=` and `?offset=`; the answer carries the count and the addresses of the pages beside it."""
    paginator = Pages()
    return paginator.get_paginated_response(serializer(paginator.paginate_queryset(rows, request), many=True).data)
