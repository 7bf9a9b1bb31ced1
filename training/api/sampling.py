"""Sampling over the API: starts a run, gives out its ranked responses, and makes demonstrations of the best."""

from django.db import transaction
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from annotate.access import in_project, named_in
from annotate.api.asked import Pages
from annotate.api.door import project_api
from annotate.api.serializers import DemonstrationSetSerializer
from annotate.models import Project, Role
from annotate.workflow.intake import open_batch
from annotate.workflow.once import afterwards, together
from training.api.sampling_serializers import BestSerializer, RankedSerializer, StartSamplingSerializer
from training.api.serializers import RunSerializer
from training.models import Artifact, Run
from training.tasks import dispatch_queued
from training.workflow.ranked_samples import demonstrate_best, ranked, ranked_prompts
from training.workflow.sampling import choose_prompts, start_sampling


@extend_schema(request=StartSamplingSerializer, responses={201: RunSerializer})
@project_api({"POST": Role.MANAGER}, once=together)
def sampling(request: Request, project: Project) -> Response:
    """Responses of a model to the project's prompts, fresh ones first, as comparisons."""
    form = StartSamplingSerializer(data=request.data)
    form.is_valid(raise_exception=True)
    asked = form.validated_data
    models = {
        name: named_in(Artifact, project, name, pk=asked[name]) if asked[name] is not None else None
        for name in ("model", "reference", "reward_model")
    }
    with transaction.atomic():  # the batch is made with the run or not at all
        run = start_sampling(
            project,
            models.pop("model"),
            asked["config"],
            choose_prompts(project, asked["prompts"]),
            batch=open_batch(project=project, name=asked["batch"]) if asked["batch"] else None,
            **models,
            **{name: asked[name] for name in ("seed", "name", "priority", "device")},
            actor=request.user,
        )
    dispatch_queued()
    return Response(RunSerializer(run).data, status=201)


@extend_schema(responses=RankedSerializer(many=True))
@project_api({"GET": Role.REVIEWER})
def ranking(request: Request, project: Project, run_id: int) -> Response:
    """The scored responses, prompt by prompt, the best first; which of two models wrote one is not said."""
    run = in_project(Run, project, pk=run_id, recipe="sample")
    pages = Pages()
    rows = ranked(run, pages.paginate_queryset(ranked_prompts(run), request))
    return pages.get_paginated_response(RankedSerializer(rows, many=True).data)


@extend_schema(request=BestSerializer, responses={200: DemonstrationSetSerializer, 201: DemonstrationSetSerializer})
@project_api({"POST": Role.MANAGER}, once=afterwards)
def best(request: Request, project: Project, run_id: int) -> Response:
    """The best response to each prompt as a set of demonstrations: 201 for a new set, 200 for the same one again."""
    form = BestSerializer(data=request.data)
    form.is_valid(raise_exception=True)
    run = in_project(Run, project, pk=run_id, recipe="sample")
    made = demonstrate_best(run, name=form.validated_data["name"], actor=request.user)
    told = {**DemonstrationSetSerializer(made.set).data, "left_out": made.left_out}
    return Response(told, status=201 if made.created else 200)
