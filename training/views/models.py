"""Models: the list, the form that registers a base model, and the page with numbers and lineage."""

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_safe

from annotate.access import in_project, require_role
from annotate.models import Project, Role
from annotate.views.sent_once import sent_once
from training.forms import RegisterModelForm
from training.models import Artifact
from training.views.machine import told_by
from training.views.problems import unless_refused
from training.workflow.artifacts import blocking_adapter, register_base
from training.workflow.deletion import runs_with
from training.workflow.disk_use import disk_use
from training.workflow.evaluation import details_of, figures_of
from training.workflow.exporting import exports_of
from training.workflow.lineage import lineage_of
from training.workflow.notes import lost_of, notes_on_product


@require_safe
@require_role(Role.REVIEWER)
def list_models(request: HttpRequest, project: Project) -> HttpResponse:
    rows = project.artifacts.select_related("parent", "snapshot", "run__round")
    context = {"page": Paginator(rows, 30).get_page(request.GET.get("page")), "use": disk_use(project)}
    return render(request, "training/models.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@require_role(Role.MANAGER)
@sent_once()
def register_model(request: HttpRequest, project: Project) -> HttpResponse:
    form = RegisterModelForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        artifact = unless_refused(form, register_base, project, **form.cleaned_data)
        if artifact:
            messages.success(request, _("“%(name)s” is registered.") % {"name": artifact}, extra_tags="ok")
            return redirect("model", project.slug, artifact.pk)
    return TemplateResponse(request, "training/model_register.html", {"form": form})


@require_safe
@require_role(Role.REVIEWER)
def show_model(request: HttpRequest, project: Project, artifact_id: int) -> HttpResponse:
    made_by = ("run__round", "run__reward_model", "run__demonstrations", "run__feedback")
    rows = Artifact.ever.select_related("parent", "snapshot", "deleted_by", *made_by)
    artifact = in_project(rows, project, pk=artifact_id)
    noted = notes_on_product(artifact.manifest) if artifact.manifest.get("data") else []
    context = {
        "artifact": artifact,
        "manifest": artifact.manifest,
        "machine": told_by(artifact.manifest),
        "figures": figures_of(artifact),
        "warnings": [note.text for note in noted if note.warns],
        "lost": lost_of(noted),
        "details": details_of(artifact),
        "lineage": lineage_of(artifact),
        "rounds": artifact.rounds_started.order_by("number"),
        "uses": runs_with(artifact)[:20],
        "exports": exports_of(artifact),
        "unmergeable": blocking_adapter(artifact),
    }
    return render(request, "training/model.html", context)
