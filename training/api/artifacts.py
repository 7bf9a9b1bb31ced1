"""What is done with one model over the API: look, card, merge, export, delete; and the disk that a project takes."""

from dataclasses import asdict
from typing import Any

from django.http import HttpResponse
from drf_spectacular.utils import OpenApiTypes, extend_schema
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response

from annotate.access import in_project
from annotate.api.door import project_api
from annotate.models import Project, Role
from annotate.workflow.once import together
from training.api.serializers import ArtifactSerializer, ExportSerializer, FreeSerializer, RunSerializer
from training.models import Artifact
from training.tasks import dispatch_queued
from training.workflow.card_facts import card_for
from training.workflow.deletion import Dependents, delete_artifact, dependents_of
from training.workflow.disk_use import disk_use, free
from training.workflow.exporting import start_export, start_merge


@extend_schema(responses={200: ArtifactSerializer})
@project_api({"GET": Role.REVIEWER, "DELETE": Role.MANAGER})
def model_detail(request: Request, project: Project, artifact_id: int) -> Response:
    """DELETE answers {"freed": bytes}; 409 with the reason where something would break."""
    artifact = in_project(Artifact, project, pk=artifact_id)
    if request.method == "DELETE":
        return Response({"freed": delete_artifact(artifact, actor=request.user)})
    return Response(ArtifactSerializer(artifact).data)


@extend_schema(responses={200: OpenApiTypes.OBJECT})
@project_api({"GET": Role.REVIEWER})
def model_dependents(request: Request, project: Project, artifact_id: int) -> Response:
    """What depends on it; `reasons` is empty where it may be deleted."""
    return Response(told(dependents_of(in_project(Artifact, project, pk=artifact_id))))


@extend_schema(responses={(200, "text/markdown"): OpenApiTypes.STR})
@project_api({"GET": Role.REVIEWER})
def model_card(request: Request, project: Project, artifact_id: int) -> HttpResponse:
    card = card_for(in_project(Artifact, project, pk=artifact_id))
    return HttpResponse(card, content_type="text/markdown; charset=utf-8")


@extend_schema(request=None, responses={201: RunSerializer})
@project_api({"POST": Role.MANAGER}, once=together)
def merge(request: Request, project: Project, artifact_id: int) -> Response:
    run = start_merge(in_project(Artifact, project, pk=artifact_id), actor=request.user)
    dispatch_queued()
    return Response(RunSerializer(run).data, status=status.HTTP_201_CREATED)


@extend_schema(request=ExportSerializer, responses={201: RunSerializer})
@project_api({"POST": Role.MANAGER}, once=together)
def export(request: Request, project: Project, artifact_id: int) -> Response:
    form = ExportSerializer(data=request.data)
    form.is_valid(raise_exception=True)
    artifact = in_project(Artifact, project, pk=artifact_id)
    run = start_export(artifact, form.validated_data["config"], actor=request.user)
    dispatch_queued()
    return Response(RunSerializer(run).data, status=status.HTTP_201_CREATED)


@extend_schema(request=FreeSerializer, responses={200: OpenApiTypes.OBJECT})
@project_api({"GET": Role.REVIEWER, "POST": Role.MANAGER})
def disk(request: Request, project: Project) -> Response:
    """GET: bytes, as last measured. POST frees one of `checkpoints`, `leftovers`, `reference`."""
    if request.method == "GET":
        return Response(asdict(disk_use(project)))
    form = FreeSerializer(data=request.data)
    form.is_valid(raise_exception=True)
    return Response({"freed": free(project, form.validated_data["what"], actor=request.user)})


def told(found: Dependents) -> dict[str, Any]:
    return {
        "reasons": found.reasons,
        "adapters": [artifact.pk for artifact in found.adapters],
        "models": [artifact.pk for artifact in found.others],
        "unfinished_runs": [run.pk for run in found.unfinished],
        "runs": [run.pk for run in found.runs],
        "rounds": [round.number for round in found.rounds],
        "samples": found.samples,
        "comparisons": found.comparisons,
        "exports": [run.result.get("folder") for run in found.exports],
    }
