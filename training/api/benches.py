"""Benches over the API: start, look, go on, stop."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response

from annotate.access import in_project, named_in
from annotate.api.door import page_of, project_api
from annotate.models import Project, Role, Snapshot
from training.api.serializers import BenchSerializer, StartBenchSerializer
from training.models import Artifact, Bench
from training.tasks import dispatch_queued
from training.workflow.benches import cancel_bench, resume_bench, start_bench

ALL = ("snapshot", "model")


@extend_schema(request=StartBenchSerializer, responses={200: BenchSerializer(many=True), 201: BenchSerializer})
@project_api({"GET": Role.REVIEWER, "POST": Role.MANAGER})
def bench_list(request: Request, project: Project) -> Response:
    """POST starts a run for every adapter method."""
    if request.method == "GET":
        rows = project.benches.select_related(*ALL).prefetch_related("runs__artifact")
        return page_of(request, rows, BenchSerializer)
    form = StartBenchSerializer(data=request.data)
    form.is_valid(raise_exception=True)
    asked: dict[str, Any] = dict(form.validated_data)
    snapshot = named_in(Snapshot, project, "snapshot", number=asked.pop("snapshot"))
    model = named_in(Artifact, project, "model", pk=asked.pop("model"))
    recipe, config = asked.pop("recipe"), asked.pop("config")
    bench = start_bench(project, recipe, snapshot, model, config, **asked, actor=request.user)
    dispatch_queued()
    return Response(BenchSerializer(bench).data, status=status.HTTP_201_CREATED)


@extend_schema(responses=BenchSerializer)
@project_api({"GET": Role.REVIEWER})
def bench_detail(request: Request, project: Project, number: int) -> Response:
    return Response(BenchSerializer(in_project(Bench, project, number=number)).data)


@extend_schema(request=None, responses=BenchSerializer)
@project_api({"POST": Role.MANAGER})
def resume(request: Request, project: Project, number: int) -> Response:
    """Cells that have failed or were cancelled; 409 where there is none."""
    bench = in_project(Bench, project, number=number)
    resume_bench(bench, actor=request.user)
    dispatch_queued()
    return Response(BenchSerializer(bench).data)


@extend_schema(request=None, responses=BenchSerializer)
@project_api({"POST": Role.MANAGER})
def cancel(request: Request, project: Project, number: int) -> Response:
    bench = in_project(Bench, project, number=number)
    cancel_bench(bench, actor=request.user)
    return Response(BenchSerializer(bench).data)
