"""Disputes and final words over the API: the same queue, the same verb."""

from django.db.models import Prefetch
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response

from annotate.access import named_in
from annotate.api.adjudication_serializers import AdjudicationSerializer, DecisionSerializer, DisputeSerializer
from annotate.api.asked import whole_number
from annotate.api.door import page_of, project_api
from annotate.models import Adjudication, Comparison, Judgment, Project, Role
from annotate.workflow.adjudication import adjudicate
from annotate.workflow.disputes import STATES, disputes, filters_from

COMPARISON = OpenApiParameter("comparison", int, description="of one comparison")
HISTORY = OpenApiParameter("history", int, enum=[1], description="also what was superseded or withdrawn")


@extend_schema(
    parameters=[
        OpenApiParameter("state", str, enum=list(STATES), description="undecided by default"),
        OpenApiParameter("tag", str),
        OpenApiParameter("language", str),
        OpenApiParameter("guideline", int, description="one of the judgments was made under this version"),
    ],
    responses=DisputeSerializer(many=True),
)
@project_api({"GET": Role.REVIEWER})
def dispute_list(request: Request, project: Project) -> Response:
    """Comparisons on which people differ, those that split them most first, with their votes and final words."""
    rows = disputes(project, filters_from(request.query_params.dict()))
    votes = Judgment.objects.current().select_related("annotator", "guideline_version")
    words = Adjudication.objects.current().select_related("adjudicator", "guideline_version")
    return page_of(
        request,
        rows.select_related("prompt", "response_a", "response_b", "batch").prefetch_related(
            Prefetch("judgments", votes), Prefetch("adjudications", words, to_attr="words")
        ),
        DisputeSerializer,
    )


@extend_schema(methods=["GET"], parameters=[COMPARISON, HISTORY], responses=AdjudicationSerializer(many=True))
@extend_schema(methods=["POST"], request=DecisionSerializer, responses={201: AdjudicationSerializer})
@project_api({"GET": Role.REVIEWER, "POST": Role.REVIEWER})
def adjudication_list(request: Request, project: Project) -> Response:
    """Final words, the latest first. POST writes one, as the next revision of its comparison; idempotent by
    `client_key`."""
    if request.method == "POST":
        return _decide(request, project)
    kept = Adjudication.objects.all() if request.query_params.get("history") == "1" else Adjudication.objects.current()
    rows = kept.filter(comparison__project=project)
    one = request.query_params.get("comparison", "")
    if one:
        rows = rows.filter(comparison=named_in(Comparison, project, "comparison", pk=whole_number(one, "comparison")))
    return page_of(
        request, rows.select_related("adjudicator", "guideline_version").order_by("-id"), AdjudicationSerializer
    )


def _decide(request: Request, project: Project) -> Response:
    form = DecisionSerializer(data=request.data)
    form.is_valid(raise_exception=True)
    given = dict(form.validated_data)
    comparison = named_in(Comparison, project, "comparison", pk=given.pop("comparison"))
    word = adjudicate(comparison=comparison, adjudicator=request.user, **given)
    return Response(AdjudicationSerializer(word).data, status=status.HTTP_201_CREATED)
