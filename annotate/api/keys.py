"""`Idempotency-Key`: a POST that is sent again under its key is answered as before, and not carried out again."""

import json
from collections.abc import Callable
from typing import Any

from django.http import QueryDict
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from annotate.workflow.once import LONGEST_KEY, Answer, Sent, checked_key, digest_of

NAME, REPLAYED = "Idempotency-Key", "Idempotent-Replayed"
Keeping = Callable[[Sent, Callable[[], Answer]], Answer]
IN_SCHEMA = extend_schema(
    methods=["POST"],
    parameters=[
        OpenApiParameter(
            NAME,
            str,
            OpenApiParameter.HEADER,
            description=f"1 to {LONGEST_KEY} printable ASCII characters of your own, for this one request: sent again "
            "under the same key it gets the first answer, for 24 hours, and is not carried out again",
        ),
        OpenApiParameter(
            REPLAYED,
            str,
            OpenApiParameter.HEADER,
            enum=["true"],
            response=[200, 201],
            description="this is the answer that was given before",
        ),
    ],
)


def answered_once(request: Request, keep: Keeping, act: Callable[[], Response]) -> Response:
    """`act` raises what it refuses, and nothing of that is kept."""
    key = request.headers.get(NAME)
    if key is None:
        return act()
    content = f"{request.method} {request.get_full_path()}\n{_body(request.data)}"
    sent = Sent(request.user, checked_key(key), digest_of(content))
    answer = keep(sent, lambda: _rendered(act()))
    headers = {REPLAYED: "true"} if answer.is_replayed else None
    return Response(json.loads(answer.body), answer.status, headers=headers)


def _body(data: Any) -> str:
    """The same for the same fields, however a client orders them."""
    fields = dict(data.lists()) if isinstance(data, QueryDict) else data
    return json.dumps(fields, sort_keys=True, ensure_ascii=False, default=str)


def _rendered(response: Response) -> Answer:
    return Answer(response.status_code, JSONRenderer().render(response.data).decode())
