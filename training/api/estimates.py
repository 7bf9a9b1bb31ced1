"""What a run would take, over the API; nothing is started."""

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from annotate.access import named_in
from annotate.api.door import project_api
from annotate.models import DemonstrationSet, FeedbackSet, Project, Role, Snapshot
from training.api.serializers import EstimateSerializer
from training.models import Artifact, Task
from training.recipes.estimate import whole
from training.workflow import device
from training.workflow.estimates import asked_of

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
    snapshot, demonstrations, reward = asked["snapshot"], asked["demonstrations"], asked["reward_model"]
    found = asked_of(
        asked["recipe"],
        named_in(Artifact, project, "model", pk=asked["model"]),
        asked["config"] if request.method == "POST" else {},
        snapshot=named_in(Snapshot, project, "snapshot", number=snapshot) if snapshot else None,
        demonstrations=(
            named_in(DemonstrationSet, project, "demonstrations", pk=demonstrations) if demonstrations else None
        ),
        feedback=named_in(FeedbackSet, project, "feedback", pk=asked["feedback"]) if asked["feedback"] else None,
        reward=named_in(Artifact, project, "reward_model", pk=reward, task=Task.REWARD) if reward else None,
        machine=device.machine(asked["device"], memory),
    )
    return Response(whole(found.question, found.chosen, found.methods, found.advice))
