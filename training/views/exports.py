"""Merging and exporting a model: the form, the buttons, and the end of an export."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.utils.text import slugify
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST

from annotate.access import in_project, require_role
from annotate.models import Project, Role
from annotate.views.sent_once import sent_once
from training.forms import RecipeForm
from training.models import Artifact, Run
from training.recipes.export import ADAPTER, MERGED
from training.tasks import dispatch_queued
from training.views.problems import unless_refused
from training.workflow.artifacts import blocking_adapter
from training.workflow.exporting import delete_export, start_export, start_merge


@require_http_methods(["GET", "HEAD", "POST"])
@require_role(Role.MANAGER)
@sent_once()
def create_export(request: HttpRequest, project: Project, artifact_id: int) -> HttpResponse:
    artifact = in_project(Artifact, project, pk=artifact_id)
    unmergeable = blocking_adapter(artifact)
    start = {"folder": slugify(artifact.name) or f"model-{artifact.pk}", "form": ADAPTER if unmergeable else MERGED}
    form = RecipeForm("export", request.POST or None, initial=start)
    if request.method == "POST" and form.is_valid():
        run = unless_refused(form, start_export, artifact, form.config, actor=request.user, stages=[form])
        if run:
            dispatch_queued()
            messages.success(request, _("The export is queued."), extra_tags="ok")
            return redirect("run", project.slug, run.pk)
    context = {"artifact": artifact, "settings": form, "unmergeable": unmergeable}
    return TemplateResponse(request, "training/model_export.html", context)


@require_POST
@require_role(Role.MANAGER)
@sent_once()
def merge_model(request: HttpRequest, project: Project, artifact_id: int) -> HttpResponse:
    run = start_merge(in_project(Artifact, project, pk=artifact_id), actor=request.user)
    dispatch_queued()
    messages.success(request, _("The merge is queued; the model appears here when it is done."), extra_tags="ok")
    return redirect("run", project.slug, run.pk)


@require_POST
@require_role(Role.MANAGER)
def remove_export(request: HttpRequest, project: Project, run_id: int) -> HttpResponse:
    run = in_project(Run, project, pk=run_id, recipe="export")
    delete_export(run, actor=request.user)
    messages.success(request, _("The directory is deleted."), extra_tags="ok")
    return redirect("run", project.slug, run.pk)
