"""Runs, rounds and models over the API."""

from typing import Any, TypeVar

from django.db.models import Model
from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from annotate.access import in_project, named_in
from annotate.api.door import page_of, project_api
from annotate.models import DemonstrationSet, FeedbackSet, Project, Role, Snapshot, User
from annotate.workflow.once import together
from training.api.serializers import (
    ArtifactSerializer,
    NameSerializer,
    PinSerializer,
    PrioritySerializer,
    RegisterSerializer,
    RoundSerializer,
    RunSerializer,
    StartRoundSerializer,
    StartRunSerializer,
)
from training.forms import FindRunsForm
from training.models import Artifact, Round, Run
from training.tasks import dispatch_queued
from training.workflow import naming, rounds, runs
from training.workflow.artifacts import register_base
from training.workflow.cloning import clone
from training.workflow.finding import find, set_pinned
from training.workflow.queueing import set_priority
from training.workflow.rounds import start_round
from training.workflow.starting import start_training

# What is told about the runs of a round.
STAGES = tuple(
    f"runs__{name}" for name in ("artifact", "snapshot", "model", "reward_model", "demonstrations", "feedback")
)
Row = TypeVar("Row", bound=Model)


@extend_schema(request=StartRunSerializer, responses={200: RunSerializer(many=True), 201: RunSerializer})
@project_api({"GET": Role.REVIEWER, "POST": Role.MANAGER}, once=together)
def run_list(request: Request, project: Project) -> Response:
    """GET takes what the list's page takes (q, recipe, state, model, snapshot, round, pinned, sort). POST starts one
    training run of any recipe, or one like an earlier run."""
    if request.method == "GET":
        related = ("snapshot", "model", "reward_model", "demonstrations", "feedback", "round", "artifact")
        find_form = FindRunsForm(project, request.query_params)
        if not find_form.is_valid():
            raise ValidationError(find_form.errors)
        return page_of(request, find(project.runs.select_related(*related), find_form.wanted), RunSerializer)
    form = StartRunSerializer(data=request.data)
    form.is_valid(raise_exception=True)
    run = _start(project, form.validated_data, request.user)
    dispatch_queued()
    return Response(RunSerializer(run).data, status=status.HTTP_201_CREATED)


def _start(project: Project, asked: dict[str, Any], actor: User) -> Run:
    source = _given(Run, project, "from", pk=asked["from"])
    inputs = {
        "snapshot": _given(Snapshot, project, "snapshot", number=asked["snapshot"]),
        "model": _given(Artifact, project, "model", pk=asked.get("model")),
        "reward_model": _given(Artifact, project, "reward_model", pk=asked["reward_model"]),
        "demonstrations": _given(DemonstrationSet, project, "demonstrations", pk=asked["demonstrations"]),
        "feedback": _given(FeedbackSet, project, "feedback", pk=asked["feedback"]),
        **{name: asked[name] for name in ("seed", "priority", "device") if asked[name] is not None},
    }
    more = {"config": asked["config"], "name": asked["name"], "actor": actor}
    if source is not None:
        return clone(source, recipe=asked.get("recipe", ""), **inputs, **more)
    return start_training(project, asked["recipe"], **inputs, **more)


@extend_schema(responses=RunSerializer)
@project_api({"GET": Role.REVIEWER})
def run_detail(request: Request, project: Project, run_id: int) -> Response:
    return Response(RunSerializer(in_project(Run, project, pk=run_id)).data)


@extend_schema(request=PinSerializer, responses=RunSerializer)
@project_api({"POST": Role.MANAGER})
def pin(request: Request, project: Project, run_id: int) -> Response:
    form = PinSerializer(data=request.data)
    form.is_valid(raise_exception=True)
    run = set_pinned(in_project(Run, project, pk=run_id), form.validated_data["pinned"])
    return Response(RunSerializer(run).data)


@extend_schema(request=NameSerializer, responses=RunSerializer)
@project_api({"POST": Role.MANAGER})
def rename(request: Request, project: Project, run_id: int) -> Response:
    form = NameSerializer(data=request.data)
    form.is_valid(raise_exception=True)
    run = naming.rename(in_project(Run, project, pk=run_id), form.validated_data["name"])
    return Response(RunSerializer(run).data)


@extend_schema(request=PrioritySerializer, responses=RunSerializer)
@project_api({"POST": Role.MANAGER})
def change_priority(request: Request, project: Project, run_id: int) -> Response:
    """Only while the run waits."""
    form = PrioritySerializer(data=request.data)
    form.is_valid(raise_exception=True)
    run = set_priority(in_project(Run, project, pk=run_id), form.validated_data["priority"], actor=request.user)
    dispatch_queued()
    return Response(RunSerializer(run).data)


@extend_schema(request=None, responses=RunSerializer)
@project_api({"POST": Role.MANAGER})
def cancel(request: Request, project: Project, run_id: int) -> Response:
    run = in_project(Run, project, pk=run_id)
    runs.request_cancel(run, actor=request.user)
    run.refresh_from_db()
    return Response(RunSerializer(run).data)


@extend_schema(request=None, responses=RunSerializer)
@project_api({"POST": Role.MANAGER}, once=together)
def resume(request: Request, project: Project, run_id: int) -> Response:
    run = rounds.resume(in_project(Run, project, pk=run_id), actor=request.user)
    dispatch_queued()
    return Response(RunSerializer(run).data)


@extend_schema(request=StartRoundSerializer, responses={200: RoundSerializer(many=True), 201: RoundSerializer})
@project_api({"GET": Role.REVIEWER, "POST": Role.MANAGER}, once=together)
def round_list(request: Request, project: Project) -> Response:
    """POST starts a round: demonstrations (if given), reward model, policy, samples, comparisons."""
    if request.method == "GET":
        rows = project.rounds.select_related("snapshot", "base_policy", "batch").prefetch_related(*STAGES)
        return page_of(request, rows, RoundSerializer)
    form = StartRoundSerializer(data=request.data)
    form.is_valid(raise_exception=True)
    asked = form.validated_data
    round = start_round(
        project,
        named_in(Snapshot, project, "snapshot", number=asked["snapshot"]),
        named_in(Artifact, project, "base_policy", pk=asked["base_policy"]),
        asked["configs"],
        policy=asked["policy"],
        demonstrations=_given(DemonstrationSet, project, "demonstrations", pk=asked["demonstrations"]),
        **{name: asked[name] for name in ("prompts", "score_samples", "seed")},
        actor=request.user,
    )
    dispatch_queued()
    return Response(RoundSerializer(round).data, status=status.HTTP_201_CREATED)


@extend_schema(responses=RoundSerializer)
@project_api({"GET": Role.REVIEWER})
def round_detail(request: Request, project: Project, number: int) -> Response:
    return Response(RoundSerializer(in_project(Round, project, number=number)).data)


@extend_schema(request=RegisterSerializer, responses={200: ArtifactSerializer(many=True), 201: ArtifactSerializer})
@project_api({"GET": Role.REVIEWER, "POST": Role.MANAGER}, once=together)
def model_list(request: Request, project: Project) -> Response:
    """POST registers a base model or a reward model from elsewhere: a folder of safetensors, GGUF file or hub id."""
    if request.method == "GET":
        return page_of(request, project.artifacts.select_related("snapshot"), ArtifactSerializer)
    form = RegisterSerializer(data=request.data)
    form.is_valid(raise_exception=True)
    artifact = register_base(project, **form.validated_data)
    return Response(ArtifactSerializer(artifact).data, status=status.HTTP_201_CREATED)


def _given(kind: type[Row], project: Project, field: str, **key: int | None) -> Row | None:
    """The project's row; None where none was named."""
    return None if None in key.values() else named_in(kind, project, field, **key)
