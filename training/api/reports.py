"""Ratings of models and the value of labels over the API: what the pages show."""

from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response

from annotate.api.door import project_api
from annotate.models import Project, Role
from annotate.workflow.agreement_summary import Summary
from training.tasks import ask_for_report
from training.workflow.label_value import with_advice, worth_from
from training.workflow.rating_filters import CRITERIA, filters_from
from training.workflow.reports import LABEL_VALUE, RATINGS, Kind, report_for


@extend_schema(
    parameters=[
        OpenApiParameter("criterion", str, enum=list(CRITERIA)),
        OpenApiParameter("round", str, description="a number, or none"),
        OpenApiParameter("tag", str),
        OpenApiParameter("guideline", str, description="number of a version, or none"),
        OpenApiParameter("surplus", bool, description="count surplus judgments too"),
    ],
    responses=OpenApiTypes.OBJECT,
)
@project_api({"GET": Role.REVIEWER})
def ratings(request: Request, project: Project) -> Response:
    """As the command `ratings --json`. Of a large project what is kept, with its age; 202 while there is none."""
    query = filters_from(request.query_params).as_query()
    summary = _summary(project, RATINGS, query)
    return _answer(summary, summary.body)


@extend_schema(parameters=[OpenApiParameter("worth", float)], responses=OpenApiTypes.OBJECT)
@project_api({"GET": Role.REVIEWER})
def label_value(request: Request, project: Project) -> Response:
    """As the command `label_value --json`, kept as the ratings are; `worth` in judgments a right label."""
    worth = worth_from(request.query_params)
    summary = _summary(project, LABEL_VALUE, {})
    return _answer(summary, with_advice(summary.body, worth) if summary.body else None)


def _summary(project: Project, kind: Kind, query: dict[str, Any]) -> Summary:
    summary = report_for(project, kind, query)
    if summary.is_stale:
        ask_for_report(project, kind, query)
    return summary


def _answer(summary: Summary, body: dict[str, Any] | None) -> Response:
    age = {"computed_at": summary.made_at, "is_stale": summary.is_stale}
    return Response({**age, **body} if body else age, status=status.HTTP_200_OK if body else status.HTTP_202_ACCEPTED)
