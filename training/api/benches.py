"""Benches over the API: start, look, go on, stop."""

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response

from annotate.access import in_project, named_in
from annotate.api.door import page_of, project_api
from annotate.models import Project, Role, Snapshot
from annotate.workflow.once import together
from training.api.serializers import BenchSerializer, StartBenchSerializer
from training.models import Artifact, Bench
from training.tasks import dispatch_queued
from training.workflow.benches import cancel_bench, resume_bench, start_bench


def whole(rows: QuerySet[Bench]) -> QuerySet[Bench]:
    """With all that is told of a bench."""
    return rows.select_related("snapshot", "model").prefetch_related("runs__artifact")


def told(bench: Bench) -> dict[str, Any]:
    """As it stands after what was asked for was done."""
    return BenchSerializer(whole(Bench.objects.filter(pk=bench.pk)).get()).data


@extend_schema(request=StartBenchSerializer, responses={200: BenchSerializer(many=True), 201: BenchSerializer})
@project_api({"GET": Role.REVIEWER, "POST": Role.MANAGER}, once=together)
def bench_list(request: Request, project: Project) -> Response:
    """POST starts a run for every adapter method."""
    if request.method == "GET":
        return page_of(request, whole(project.benches.all()), BenchSerializer)
    form = StartBenchSerializer(data=request.data)
    form.is_valid(raise_exception=True)
    asked: dict[str, Any] = dict(form.validated_data)
    snapshot = named_in(Snapshot, project, "snapshot", number=asked.pop("snapshot"))
    model = named_in(Artifact, project, "model", pk=asked.pop("model"))
    recipe, config = asked.pop("recipe"), asked.pop("config")
    bench = start_bench(project, recipe, snapshot, model, config, **asked, actor=request.user)
    dispatch_queued()
    return Response(told(bench), status=status.HTTP_201_CREATED)


@extend_schema(responses=BenchSerializer)
@project_api({"GET": Role.REVIEWER})
def bench_detail(request: Request, project: Project, number: int) -> Response:
    return Response(BenchSerializer(in_project(whole(Bench.objects.all()), project, number=number)).data)


@extend_schema(request=None, responses=BenchSerializer)
@project_api({"POST": Role.MANAGER}, once=together)
def resume(request: Request, project: Project, number: int) -> Response:
    """Cells that have failed or were cancelled; 409 where there is none."""
    bench = in_project(Bench, project, number=number)
    resume_bench(bench, actor=request.user)
    dispatch_queued()
    return Response(told(bench))


@extend_schema(request=None, responses=BenchSerializer)
@project_api({"POST": Role.MANAGER})
def cancel(request: Request, project: Project, number: int) -> Response:
    bench = in_project(Bench, project, number=number)
    cancel_bench(bench, actor=request.user)
    return Response(told(bench))
