"""What can be trained or sampled, over the API: the recipes with all of their settings; the same for every project."""

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.decorators import api_view
from rest_framework.request import Request
from rest_framework.response import Response

from annotate.api.asked import Pages
from training.workflow.recipe_list import all_recipes, recipe_named


@extend_schema(responses=OpenApiTypes.OBJECT)
@api_view(["GET"])
def recipe_list(request: Request) -> Response:
    pages = Pages()
    return pages.get_paginated_response(pages.paginate_queryset(all_recipes(), request))


@extend_schema(responses=OpenApiTypes.OBJECT)
@api_view(["GET"])
def recipe_detail(request: Request, name: str) -> Response:
    """As the command `recipe NAME --json`."""
    return Response(recipe_named(name))
