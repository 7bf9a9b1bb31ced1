"""Cards over the API: take one, answer it, skip it, take the last answer back."""

from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response

from annotate.api.door import project_api
from annotate.api.serializers import (
    AnswerSerializer,
    CardSerializer,
    GuidelineVersionSerializer,
    OwnJudgmentSerializer,
    SkipSerializer,
    UndoSerializer,
)
from annotate.models import Assignment, Project, Role
from annotate.workflow.assignment import lease_next
from annotate.workflow.exceptions import NotYourAssignment
from annotate.workflow.guidelines import current_version, mark_read
from annotate.workflow.judging import skip, submit_judgment, undo_last


@extend_schema(request=None, responses={200: CardSerializer, 204: None})
@project_api({"POST": Role.ANNOTATOR})
def next_card(request: Request, project: Project) -> Response:
    """The open card, or a newly leased one; 204 when nothing is left; 409 while a guideline version is unread."""
    card = lease_next(project=project, annotator=request.user)
    return Response(CardSerializer(card).data) if card else Response(status=status.HTTP_204_NO_CONTENT)


@extend_schema(request=AnswerSerializer, responses={201: OwnJudgmentSerializer})
@project_api({"POST": Role.ANNOTATOR})
def answer(request: Request, project: Project, assignment_id: int) -> Response:
    """Idempotent by `client_key`: sending the same answer again returns what was stored."""
    form = AnswerSerializer(data=request.data)
    form.is_valid(raise_exception=True)
    judgment = submit_judgment(
        assignment_id=assignment_id, annotator=request.user, project=project, **form.validated_data
    )
    return Response(OwnJudgmentSerializer(judgment).data, status=status.HTTP_201_CREATED)


@extend_schema(request=SkipSerializer, responses={204: None})
@project_api({"POST": Role.ANNOTATOR})
def skip_card(request: Request, project: Project, assignment_id: int) -> Response:
    form = SkipSerializer(data=request.data)
    form.is_valid(raise_exception=True)
    skip(assignment_id=_card(request, project, assignment_id).pk, annotator=request.user, **form.validated_data)
    return Response(status=status.HTTP_204_NO_CONTENT)


@extend_schema(request=UndoSerializer, responses=CardSerializer)
@project_api({"POST": Role.ANNOTATOR})
def undo(request: Request, project: Project) -> Response:
    """Idempotent where `card`, and of a judgment its `revision`, say which answer is meant: sent again, it changes
    nothing and returns the card. Without them the last answer is taken back, whichever it is by then."""
    form = UndoSerializer(data=request.data)
    form.is_valid(raise_exception=True)
    card, revision = form.validated_data["card"], form.validated_data["revision"]
    taken_back = undo_last(project=project, annotator=request.user, assignment_id=card, revision=revision)
    return Response(CardSerializer(taken_back).data)


@extend_schema(request=None, responses=GuidelineVersionSerializer)
@project_api({"GET": Role.ANNOTATOR, "POST": Role.ANNOTATOR})
def guideline(request: Request, project: Project) -> Response:
    """GET: the current version. POST: this person has read it."""
    version = current_version(project)
    if version is None:
        return Response(status=status.HTTP_204_NO_CONTENT)
    if request.method == "POST":
        mark_read(version=version, user=request.user)
    return Response(GuidelineVersionSerializer(version).data)


def _card(request: Request, project: Project, assignment_id: int) -> Assignment:
    cards = Assignment.objects.filter(annotator=request.user, comparison__project=project)
    card = cards.filter(pk=assignment_id).first()
    if card is None:
        raise NotYourAssignment(_("There is no such card in your queue."), _("POST to next/ for one."))
    return card
