"""Probes over the API: sets of questions, and what policies have unlearned."""

import io

from drf_spectacular.utils import OpenApiTypes, extend_schema
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response

from annotate.access import in_project
from annotate.api.door import page_of, project_api
from annotate.models import Project, Role
from annotate.workflow.once import afterwards
from training.api.serializers import ProbeSetSerializer, ProbesSerializer
from training.models import ProbeSet, Round, Run
from training.workflow.alignment_tax import policies_of, rows_of
from training.workflow.probes import delete_probes, import_probes


@extend_schema(request=ProbesSerializer, responses=ProbeSetSerializer(many=True))
@project_api({"GET": Role.REVIEWER, "POST": Role.MANAGER}, once=afterwards)
def probe_list(request: Request, project: Project) -> Response:
    """POST stores the text of a JSONL file as a set, all or nothing: 201 for a new set, 200 for the same content again;
    400 lists the lines at fault."""
    if request.method == "GET":
        return page_of(request, project.probe_sets.defer("rows"), ProbeSetSerializer)
    form = ProbesSerializer(data=request.data)
    form.is_valid(raise_exception=True)
    given = dict(form.validated_data)
    lines = io.StringIO(given.pop("content"), newline="")
    stored, created = import_probes(project=project, lines=lines, actor=request.user, **given)
    return Response(ProbeSetSerializer(stored).data, status=201 if created else 200)


@extend_schema(responses={200: ProbeSetSerializer, 204: None})
@project_api({"GET": Role.REVIEWER, "DELETE": Role.MANAGER})
def probe_detail(request: Request, project: Project, set_id: int) -> Response:
    """GET has the questions as `rows`."""
    found = in_project(ProbeSet, project, pk=set_id)
    if request.method == "DELETE":
        delete_probes(found)
        return Response(status=status.HTTP_204_NO_CONTENT)
    return Response({**ProbeSetSerializer(found).data, "rows": found.rows})


@extend_schema(responses={200: OpenApiTypes.OBJECT})
@project_api({"GET": Role.REVIEWER})
def run_tax(request: Request, project: Project, run_id: int) -> Response:
    return Response({"rows": list(rows_of([in_project(Run, project, pk=run_id)]))})


@extend_schema(responses={200: OpenApiTypes.OBJECT})
@project_api({"GET": Role.REVIEWER})
def round_tax(request: Request, project: Project, number: int) -> Response:
    return Response({"rows": list(rows_of(policies_of(in_project(Round, project, number=number))))})
