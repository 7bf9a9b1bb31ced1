"""The OpenAPI schema: for those who may use the API, and generated once a process, since it takes seconds."""

from functools import lru_cache
from typing import Any

from django.conf import settings
from django.http import HttpResponse
from django.utils import translation
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.views import SpectacularAPIView
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request


class SchemaView(SpectacularAPIView):
    """YAML or JSON by `Accept` or `?format=`; in the reader's language, or that of `?lang=`."""

    def get(self, request: Request, *args: Any, **kwargs: Any) -> HttpResponse:
        language = request.query_params.get("lang", "")
        if language not in dict(settings.LANGUAGES):
            language = translation.get_language()
        renderer = request.accepted_renderer
        name = f'inline; filename="{settings.SPECTACULAR_SETTINGS["TITLE"]}.{renderer.format}"'
        body = _schema(type(renderer), language)
        return HttpResponse(body, content_type=renderer.media_type, headers={"Content-Disposition": name})


@lru_cache
def _schema(renderer: type[BaseRenderer], language: str) -> bytes:
    """All of it: what a reader may call depends on the project."""
    with translation.override(language):
        return renderer().render(SchemaGenerator().get_schema(public=True), renderer_context={})
