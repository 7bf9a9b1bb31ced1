"""`project_api`: an API view of one project, through `access.py`; `page_of`: a list, page by page."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.db.models import QuerySet
from rest_framework.decorators import api_view
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer

from annotate.access import project_for
from annotate.api.asked import Pages
from annotate.models import Role

View = Callable[..., Response]


def project_api(methods: dict[str, Role]) -> Callable[[View], View]:
    """A view of `(request, slug, ...)` gets `(request, project, ...)`; `methods` names the role each method needs."""

    def decorate(view: View) -> View:
        @api_view(list(methods))
        @wraps(view)
        def guarded(request: Request, slug: str, *args: Any, **kwargs: Any) -> Response:
            project, _role = project_for(request.user, slug, methods[request.method or "GET"])
            return view(request, project, *args, **kwargs)

        return guarded

    return decorate


def page_of(request: Request, rows: QuerySet[Any], serializer: type[BaseSerializer[Any]]) -> Response:
    """`?limit=` and `?offset=`; the answer carries the count and the addresses of the pages beside it."""
    paginator = Pages()
    return paginator.get_paginated_response(serializer(paginator.paginate_queryset(rows, request), many=True).data)
