"""What a run would take, over the API; nothing is started."""

from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from annotate.access import named_in
from annotate.api.door import project_api
from annotate.models import DemonstrationSet, FeedbackSet, Project, Role, Snapshot
from training.api.serializers import EstimateSerializer
from training.models import Artifact, Task
from training.recipes.estimate import Machine, whole, whole_sampling
from training.workflow import device
from training.workflow.estimates import asked_of
from training.workflow.sampling_estimates import asked_of_sampling
from training.workflow.seen_before import run_to_be, seen_before

GIGABYTE = 10**9


@extend_schema(methods=["GET"], parameters=[EstimateSerializer], responses=OpenApiTypes.OBJECT)
@extend_schema(methods=["POST"], request=EstimateSerializer, responses=OpenApiTypes.OBJECT)
@project_api({"GET": Role.REVIEWER, "POST": Role.REVIEWER})
def estimate(request: Request, project: Project) -> Response:
    """As the command `estimate --json`, for a model of the project. GET takes no `config`: the recipe's defaults."""
    form = EstimateSerializer(data=request.query_params if request.method == "GET" else request.data)
    form.is_valid(raise_exception=True)
    asked = form.validated_data
    memory = None if asked["memory"] is None else int(asked["memory"] * GIGABYTE)
    if request.method == "GET":
        asked["config"] = {}
    machine = device.machine(asked["device"], memory)
    if asked["recipe"] == "sample":
        return Response(_of_sampling(project, asked, machine))
    snapshot, demonstrations, reward = asked["snapshot"], asked["demonstrations"], asked["reward_model"]
    model = named_in(Artifact, project, "model", pk=asked["model"])
    data = {
        "snapshot": named_in(Snapshot, project, "snapshot", number=snapshot) if snapshot else None,
        "demonstrations": (
            named_in(DemonstrationSet, project, "demonstrations", pk=demonstrations) if demonstrations else None
        ),
        "feedback": named_in(FeedbackSet, project, "feedback", pk=asked["feedback"]) if asked["feedback"] else None,
        "reward": named_in(Artifact, project, "reward_model", pk=reward, task=Task.REWARD) if reward else None,
    }
    found = asked_of(asked["recipe"], model, asked["config"], machine=machine, **data)
    seen = seen_before(run_to_be(asked["recipe"], asked["config"], model, **data))
    return Response({**whole(found.question, found.chosen, found.methods, found.advice), "seen_before": seen})


def _of_sampling(project: Project, asked: dict[str, Any], machine: Machine) -> dict[str, Any]:
    reference, reward = asked["reference"], asked["reward_model"]
    found = asked_of_sampling(
        project,
        asked["config"],
        named_in(Artifact, project, "model", pk=asked["model"], task=Task.POLICY),
        reference=named_in(Artifact, project, "reference", pk=reference, task=Task.POLICY) if reference else None,
        reward_model=named_in(Artifact, project, "reward_model", pk=reward, task=Task.REWARD) if reward else None,
        prompts=asked["prompts"],
        machine=machine,
    )
    return whole_sampling(found.question, found.chosen, found.advice)
