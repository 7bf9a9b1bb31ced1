"""The model card of an artifact: as a page, and as the README.md that an export carries."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from annotate.access import in_project, require_role
from annotate.models import Project, Role
from training.models import Artifact
from training.workflow.card_facts import card_for
from training.workflow.model_card import body_of


@require_safe
@require_role(Role.REVIEWER)
def show_card(request: HttpRequest, project: Project, artifact_id: int) -> HttpResponse:
    artifact = in_project(Artifact.ever.all(), project, pk=artifact_id)
    return render(request, "training/model_card.html", {"artifact": artifact, "card": body_of(card_for(artifact))})


@require_safe
@require_role(Role.REVIEWER)
def download_card(request: HttpRequest, project: Project, artifact_id: int) -> HttpResponse:
    card = card_for(in_project(Artifact.ever.all(), project, pk=artifact_id))
    headers = {"Content-Disposition": 'attachment; filename="README.md"'}
    return HttpResponse(card, content_type="text/markdown; charset=utf-8", headers=headers)
