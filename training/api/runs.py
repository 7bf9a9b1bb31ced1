"""Runs, rounds and models over the API."""

from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response

from annotate.access import in_project
from annotate.api.door import page_of, project_api
from annotate.models import Project, Role, Snapshot
from training.api.serializers import (
    ArtifactSerializer,
    RegisterSerializer,
    RoundSerializer,
    RunSerializer,
    StartRoundSerializer,
)
from training.models import Artifact, Round, Run
from training.workflow import runs
from training.workflow.artifacts import register_base
from training.workflow.rounds import start_round


@extend_schema(responses=RunSerializer(many=True))
@project_api({"GET": Role.REVIEWER})
def run_list(request: Request, project: Project) -> Response:
    return page_of(request, project.runs.select_related("snapshot", "model", "round", "artifact"), RunSerializer)


@extend_schema(responses=RunSerializer)
@project_api({"GET": Role.REVIEWER})
def run_detail(request: Request, project: Project, run_id: int) -> Response:
    return Response(RunSerializer(in_project(Run, project, pk=run_id)).data)


@extend_schema(request=None, responses=RunSerializer)
@project_api({"POST": Role.MANAGER})
def cancel(request: Request, project: Project, run_id: int) -> Response:
    run = in_project(Run, project, pk=run_id)
    runs.request_cancel(run, actor=request.user)
    run.refresh_from_db()
    return Response(RunSerializer(run).data)


@extend_schema(request=None, responses=RunSerializer)
@project_api({"POST": Role.MANAGER})
def resume(request: Request, project: Project, run_id: int) -> Response:
    run = runs.resume(in_project(Run, project, pk=run_id), actor=request.user)
    return Response(RunSerializer(run).data)


@extend_schema(request=StartRoundSerializer, responses={200: RoundSerializer(many=True), 201: RoundSerializer})
@project_api({"GET": Role.REVIEWER, "POST": Role.MANAGER})
def round_list(request: Request, project: Project) -> Response:
    """POST starts a round: snapshot, reward model, policy, samples, comparisons."""
    if request.method == "GET":
        rows = project.rounds.select_related("snapshot", "base_policy", "batch").prefetch_related("runs__artifact")
        return page_of(request, rows, RoundSerializer)
    form = StartRoundSerializer(data=request.data)
    form.is_valid(raise_exception=True)
    asked = form.validated_data
    round = start_round(
        project,
        in_project(Snapshot, project, number=asked["snapshot"]),
        in_project(Artifact, project, pk=asked["base_policy"]),
        asked["configs"],
        prompts=asked["prompts"],
        seed=asked["seed"],
        actor=request.user,
    )
    return Response(RoundSerializer(round).data, status=status.HTTP_201_CREATED)


@extend_schema(responses=RoundSerializer)
@project_api({"GET": Role.REVIEWER})
def round_detail(request: Request, project: Project, number: int) -> Response:
    return Response(RoundSerializer(in_project(Round, project, number=number)).data)


@extend_schema(request=RegisterSerializer, responses={200: ArtifactSerializer(many=True), 201: ArtifactSerializer})
@project_api({"GET": Role.REVIEWER, "POST": Role.MANAGER})
def model_list(request: Request, project: Project) -> Response:
    """POST registers a base model: a folder of safetensors, a GGUF file or a hub id."""
    if request.method == "GET":
        return page_of(request, project.artifacts.select_related("snapshot"), ArtifactSerializer)
    form = RegisterSerializer(data=request.data)
    form.is_valid(raise_exception=True)
    artifact = register_base(project, **form.validated_data, actor=request.user)
    return Response(ArtifactSerializer(artifact).data, status=status.HTTP_201_CREATED)
