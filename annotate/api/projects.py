"""Projects, prompts, comparisons, agreement and snapshots over the API."""

import io

from django.http import StreamingHttpResponse
from django.utils.translation import gettext as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import status
from rest_framework.decorators import api_view
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from annotate.access import in_project, projects_of
from annotate.api.asked import one_of, whole_number
from annotate.api.door import page_of, project_api
from annotate.api.serializers import (
    ComparisonSerializer,
    FreezeSerializer,
    ProjectSerializer,
    PromptSerializer,
    SnapshotSerializer,
    UploadComparisonsSerializer,
    UploadSerializer,
)
from annotate.models import Project, Role, Snapshot, Split
from annotate.tasks import ask_for_agreement
from annotate.workflow.agreement import BOOTSTRAP, agreement_of
from annotate.workflow.agreement_groups import BREAKDOWNS
from annotate.workflow.agreement_summary import is_large, summary_for
from annotate.workflow.comparison_import import import_comparisons
from annotate.workflow.export import export_lines
from annotate.workflow.intake import import_prompts
from annotate.workflow.once import afterwards
from annotate.workflow.snapshots import freeze

MOST_RESAMPLES = 10_000


@extend_schema(responses=ProjectSerializer(many=True))
@api_view(["GET"])
def project_list(request: Request) -> Response:
    return page_of(request, projects_of(request.user), ProjectSerializer)


@extend_schema(responses=ProjectSerializer)
@project_api({"GET": Role.ANNOTATOR})
def project_detail(request: Request, project: Project) -> Response:
    return Response(ProjectSerializer(project).data)


@extend_schema(request=UploadSerializer, responses=PromptSerializer(many=True))
@project_api({"GET": Role.REVIEWER, "POST": Role.MANAGER}, once=afterwards)
def prompt_list(request: Request, project: Project) -> Response:
    """POST imports the text of a JSONL or CSV file, all or nothing; 400 lists the lines at fault."""
    if request.method == "GET":
        return page_of(request, project.prompts.all(), PromptSerializer)
    form = UploadSerializer(data=request.data)
    form.is_valid(raise_exception=True)
    # Not splitlines(): it also cuts at U+2028 and the like, which JSON strings may hold.
    lines = io.StringIO(form.validated_data["content"], newline="")
    report = import_prompts(project=project, lines=lines, format=form.validated_data["format"])
    return Response({"created": report.created, "unchanged": report.unchanged}, status=status.HTTP_201_CREATED)


@extend_schema(request=UploadComparisonsSerializer, responses=ComparisonSerializer(many=True))
@project_api({"GET": Role.REVIEWER, "POST": Role.MANAGER}, once=afterwards)
def comparison_list(request: Request, project: Project) -> Response:
    """POST imports the text of a JSONL or CSV file of comparisons judged elsewhere, all or nothing; 400 lists the lines
    at fault."""
    if request.method == "POST":
        form = UploadComparisonsSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        given = form.validated_data
        stream = io.BytesIO(given["content"].encode("utf-8", "surrogatepass"))
        named = {"name": f"api.{given['format']}", "annotator": given["annotator"]}
        brought = import_comparisons(project=project, stream=stream, **named)
        return Response(brought.as_json(), status=status.HTTP_201_CREATED)
    rows = project.comparisons.select_related("prompt", "response_a", "response_b", "batch")
    return page_of(
        request, rows.prefetch_related("judgments__annotator", "judgments__guideline_version"), ComparisonSerializer
    )


@extend_schema(
    parameters=[
        OpenApiParameter("bootstrap", int, description=f"resamples for the intervals, at most {MOST_RESAMPLES}"),
        OpenApiParameter("by", str, enum=list(BREAKDOWNS), description="also by group"),
    ],
    responses=OpenApiTypes.OBJECT,
)
@project_api({"GET": Role.REVIEWER})
def agreement(request: Request, project: Project) -> Response:
    """As the command `agreement --json`. Of a large project what is kept for the page, with its age; 202 while there is
    none."""
    given = request.query_params.get("bootstrap")
    bootstrap = whole_number(given, "bootstrap", most=MOST_RESAMPLES) if given else BOOTSTRAP
    by = one_of(request.query_params.get("by", ""), "by", BREAKDOWNS)
    if not is_large(project):
        return Response(agreement_of(project=project, by=by, bootstrap=bootstrap).as_json())
    if given:
        raise ValidationError({"bootstrap": [_("Leave this out: the numbers of a large project are kept ones.")]})
    return _kept_agreement(project, by)


def _kept_agreement(project: Project, by: str) -> Response:
    summary = summary_for(project, by)
    if summary.is_stale:
        ask_for_agreement(project)
    age = {"computed_at": summary.made_at, "is_stale": summary.is_stale}
    if summary.body is None:
        return Response(age, status=status.HTTP_202_ACCEPTED)
    body = summary.body
    left_out = body.get("left_out", {}).get(by, 0)
    groups = {"by": by, "groups": body["breakdowns"][by], "groups_left_out": left_out} if by else {}
    return Response({**age, **body["overall"], **groups})


@extend_schema(request=FreezeSerializer, responses=SnapshotSerializer(many=True))
@project_api({"GET": Role.REVIEWER, "POST": Role.MANAGER}, once=afterwards)
def snapshot_list(request: Request, project: Project) -> Response:
    """POST freezes the project as it is: 201 for a new snapshot, 200 for the same state again."""
    if request.method == "GET":
        return page_of(request, project.snapshots.all(), SnapshotSerializer)
    form = FreezeSerializer(data=request.data)
    form.is_valid(raise_exception=True)
    snapshot, created = freeze(project=project, actor=request.user, **form.validated_data)
    return Response(SnapshotSerializer(snapshot).data, status=201 if created else 200)


@extend_schema(responses=SnapshotSerializer)
@project_api({"GET": Role.REVIEWER})
def snapshot_detail(request: Request, project: Project, number: int) -> Response:
    return Response(SnapshotSerializer(in_project(Snapshot, project, number=number)).data)


@extend_schema(
    parameters=[OpenApiParameter("split", str, enum=list(Split.values))],
    responses={(200, "application/x-ndjson"): OpenApiTypes.STR},
)
@project_api({"GET": Role.REVIEWER})
def snapshot_export(request: Request, project: Project, number: int) -> Response | StreamingHttpResponse:
    """JSON Lines in TRL's conversational preference format."""
    snapshot = in_project(Snapshot, project, number=number)
    split = one_of(request.query_params.get("split", ""), "split", Split.values) or None
    return StreamingHttpResponse(export_lines(snapshot=snapshot, split=split), content_type="application/x-ndjson")
