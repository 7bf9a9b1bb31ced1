"""What a run has written, over the API: the numbers of its curves, its log, its texts, and what it has left out."""

from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from annotate.access import in_project
from annotate.api.asked import Pages, whole_number
from annotate.api.door import project_api
from annotate.models import Project, Role
from training.models import Artifact, Run
from training.workflow.folders import log_of, progress_of
from training.workflow.left_out import left_out_of, named
from training.workflow.run_lines import NUMBERS, read_rows
from training.workflow.run_texts import as_json, sampled, texts_of
from training.workflow.tails import text_tail

FARTHEST = 10**15 - 1  # bytes into a file
LOG_BYTES, MOST_LOG_BYTES = 64 * 1024, 1024 * 1024


@extend_schema(
    parameters=[
        OpenApiParameter("after", int, description="as the answer before gave it; 0 for the beginning"),
        OpenApiParameter("file", str, description="as the answer before gave it"),
    ],
    responses=OpenApiTypes.OBJECT,
)
@project_api({"GET": Role.REVIEWER})
def progress(request: Request, project: Project, run_id: int) -> Response:
    """Lines of kind "step" and "eval" that have been written since `after`. With `more` the next ones are there
    already; with `restarted` the run was resumed with another file, and what was read before is to be dropped."""
    run = in_project(Run, project, pk=run_id)
    after = whole_number(request.query_params.get("after", "0"), "after", 0, FARTHEST)
    piece = read_rows(progress_of(run), after, request.query_params.get("file", ""))
    rows = [row for row in piece.pop("rows") if row.get("kind") in NUMBERS]
    state = {"state": run.state, "over": run.is_over, "progress": run.progress}
    return Response({**state, "rows": rows, "after": piece.pop("offset"), **piece})


@extend_schema(
    parameters=[OpenApiParameter("bytes", int, description=f"of its end: {LOG_BYTES}, at most {MOST_LOG_BYTES}")],
    responses={(200, "text/plain"): OpenApiTypes.STR},
)
@project_api({"GET": Role.REVIEWER})
def log(request: Request, project: Project, run_id: int) -> HttpResponse:
    """Its end, from the beginning of a line on; empty where nothing is written yet."""
    run = in_project(Run, project, pk=run_id)
    most = whole_number(request.query_params.get("bytes", str(LOG_BYTES)), "bytes", 1, MOST_LOG_BYTES)
    text = text_tail(log_of(run), most) or run.log_tail
    return HttpResponse(text, content_type="text/plain; charset=utf-8")


@extend_schema(responses=OpenApiTypes.OBJECT)
@project_api({"GET": Role.REVIEWER})
def samples(request: Request, project: Project, run_id: int) -> Response:
    """Texts of a policy while it was trained, then its answers to held-out prompts beside those of its start; or the
    responses of a sampling run, of which it is not said which model wrote which."""
    run, pages = in_project(Run, project, pk=run_id), Pages()
    if run.recipe == "sample":
        rows = [as_json(sample) for sample in pages.paginate_queryset(sampled(run), request)]
    else:
        rows = pages.paginate_queryset(texts_of(run), request)
    return pages.get_paginated_response(rows)


@extend_schema(responses=OpenApiTypes.OBJECT)
@project_api({"GET": Role.REVIEWER})
def left_out(request: Request, project: Project, run_id: int) -> Response:
    """Every example that the run has not used, and why."""
    run, pages = in_project(Run, project, pk=run_id), Pages()
    artifact = Artifact.ever.filter(run=run).first()
    rows = pages.paginate_queryset(left_out_of(run, artifact.manifest if artifact else {}), request)
    told = [
        {"split": row.get("split", ""), "id": name, "why": why}
        for row, (name, why) in zip(rows, named(rows), strict=True)
    ]
    return pages.get_paginated_response(told)
