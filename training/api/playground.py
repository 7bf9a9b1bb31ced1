"""The playground over the API: start, say, look, stop, score, send a pair to the queue, reveal, end."""

from typing import Any

from django.shortcuts import get_object_or_404
from django.utils.translation import gettext as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response

from annotate.access import named_in
from annotate.api.door import page_of, project_api
from annotate.models import Project, Role
from annotate.workflow.exceptions import NoSuchRow, WorkflowError
from annotate.workflow.once import together
from training.api.playground_serializers import (
    MessageSerializer,
    PlaygroundListSerializer,
    PlaygroundSerializer,
    RuleSerializer,
    ScoreTextSerializer,
    StartPlaygroundSerializer,
    message_as_json,
    score_as_json,
)
from training.models import Artifact, Playground
from training.tasks import dispatch_queued
from training.workflow import playground
from training.workflow.exceptions import BadConfig
from training.workflow.playground_chat import ask, ask_again, score, score_answer, stop_answer
from training.workflow.playground_sending import send_to_queue
from training.workflow.playground_turns import conversation_of

# What the page asks for in two fields is one list here.
FIELDS = {"model": "models", "other": "models"}
RELATED = ("run__project", "run__model", "run__reference_model", "run__reward_model")


def _session(project: Project, run_id: int) -> Playground:
    return get_object_or_404(Playground.objects.select_related(*RELATED), run__project=project, run__id=run_id)


@extend_schema(
    request=StartPlaygroundSerializer, responses={200: PlaygroundListSerializer(many=True), 201: PlaygroundSerializer}
)
@project_api({"GET": Role.REVIEWER, "POST": Role.MANAGER}, once=together)
def playground_list(request: Request, project: Project) -> Response:
    """POST queues one; messages may be sent at once and are answered when its models are loaded."""
    if request.method == "GET":
        rows = Playground.objects.filter(run__project=project).select_related(*RELATED)
        return page_of(request, rows, PlaygroundListSerializer)
    form = StartPlaygroundSerializer(data=request.data)
    form.is_valid(raise_exception=True)
    asked = dict(form.validated_data)
    models = [named_in(Artifact, project, "models", pk=pk) for pk in asked.pop("models")]
    scorer = asked.pop("reward_model")
    reward_model = named_in(Artifact, project, "reward_model", pk=scorer) if scorer is not None else None
    try:
        session = playground.start_playground(project, models, reward_model=reward_model, **asked, actor=request.user)
    except WorkflowError as error:
        error.where = FIELDS.get(error.where, error.where)
        raise
    dispatch_queued()
    return Response(PlaygroundSerializer(session).data, status=status.HTTP_201_CREATED)


@extend_schema(request=RuleSerializer, responses={200: RuleSerializer})
@project_api({"GET": Role.REVIEWER, "POST": Role.MANAGER})
def rule(request: Request, project: Project) -> Response:
    """Whether a pair may be sent to the queue of the project; those that are there stay."""
    if request.method == "POST":
        form = RuleSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        playground.allow_comparisons(project, form.validated_data["takes_comparisons"])
    return Response({"takes_comparisons": playground.takes_comparisons(project)})


@extend_schema(responses={200: PlaygroundSerializer})
@project_api({"GET": Role.REVIEWER})
def playground_detail(request: Request, project: Project, run_id: int) -> Response:
    """Its state with everything that was said."""
    return Response(PlaygroundSerializer(_session(project, run_id)).data)


@extend_schema(request=MessageSerializer, responses={201: OpenApiTypes.OBJECT})
@project_api({"POST": Role.MANAGER}, once=together)
def messages(request: Request, project: Project, run_id: int) -> Response:
    """Says something to the model or to both; the answer is looked for under its number."""
    session = _session(project, run_id)
    form = MessageSerializer(data=request.data)
    form.is_valid(raise_exception=True)
    asked = dict(form.validated_data)
    try:
        number = _say(session, asked)
    except BadConfig as error:
        error.where = f"settings.{error.where}"
        raise
    return Response({"number": number}, status=status.HTTP_201_CREATED)


def _say(session: Playground, asked: dict[str, Any]) -> int:
    again = asked.pop("again")
    if again is None:
        return ask(session, **{**asked, "system": asked["system"] or ""})
    return ask_again(session, again, **{name: asked[name] for name in ("text", "settings", "system", "seed")})


@extend_schema(responses={200: OpenApiTypes.OBJECT})
@project_api({"GET": Role.REVIEWER})
def message(request: Request, project: Project, run_id: int, number: int) -> Response:
    """What there is of the answers; `done` says whether more is to come."""
    turn = conversation_of(_session(project, run_id)).turn(number)
    if turn is None:
        raise _nothing()
    return Response(message_as_json(turn))


@extend_schema(request=None, responses={200: OpenApiTypes.OBJECT})
@project_api({"POST": Role.MANAGER})
def stop(request: Request, project: Project, run_id: int, number: int) -> Response:
    stop_answer(_session(project, run_id), number)
    return Response({"number": number})


@extend_schema(request=None, responses={200: OpenApiTypes.OBJECT, 201: OpenApiTypes.OBJECT})
@project_api({"POST": Role.MANAGER})
def comparison(request: Request, project: Project, run_id: int, number: int) -> Response:
    """Sends the pair to the queue: 201, or 200 when the same two responses stand there already."""
    made, is_new = send_to_queue(_session(project, run_id), number)
    told = {"id": made.pk, "key": made.key, "batch": made.batch.name, "prompt": made.prompt_id}
    return Response(told, status=status.HTTP_201_CREATED if is_new else status.HTTP_200_OK)


@extend_schema(request=ScoreTextSerializer, responses={201: OpenApiTypes.OBJECT})
@project_api({"POST": Role.MANAGER}, once=together)
def scores(request: Request, project: Project, run_id: int) -> Response:
    session = _session(project, run_id)
    form = ScoreTextSerializer(data=request.data)
    form.is_valid(raise_exception=True)
    return Response({"number": _score(session, form.validated_data)}, status=status.HTTP_201_CREATED)


def _score(session: Playground, asked: dict[str, Any]) -> int:
    if asked["message"] is not None:
        return score_answer(session, asked["message"], asked["side"])
    return score(session, asked["prompt"], asked["response"], asked["system"])


@extend_schema(responses={200: OpenApiTypes.OBJECT})
@project_api({"GET": Role.REVIEWER})
def scored(request: Request, project: Project, run_id: int, number: int) -> Response:
    rows = conversation_of(_session(project, run_id)).scores
    found = next((row for row in rows if row.number == number), None)
    if found is None:
        raise _nothing()
    return Response(score_as_json(found))


@extend_schema(request=None, responses={200: PlaygroundSerializer})
@project_api({"POST": Role.MANAGER})
def reveal(request: Request, project: Project, run_id: int) -> Response:
    session = _session(project, run_id)
    playground.reveal(session, actor=request.user)
    return Response(PlaygroundSerializer(session).data)


@extend_schema(request=None, responses={200: PlaygroundSerializer})
@project_api({"POST": Role.MANAGER})
def end(request: Request, project: Project, run_id: int) -> Response:
    """What is being written is kept as far as it is."""
    session = _session(project, run_id)
    playground.end_playground(session, actor=request.user)
    return Response(PlaygroundSerializer(session).data)


def _nothing() -> NoSuchRow:
    return NoSuchRow(_("There is nothing of this number, or it was asked again since."))
