"""Runs: the list, the page of one, and the buttons that cancel and resume it."""

from dataclasses import fields
from typing import Any

from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe
from django_htmx.http import HttpResponseClientRefresh

from annotate.access import in_project, require_role
from annotate.models import Project, Role
from annotate.workflow.exceptions import WorkflowError
from training.models import Artifact, Run, Sample
from training.recipes import RECIPES
from training.tasks import dispatch_queued
from training.views.problems import tell
from training.views.run_files import read_rows
from training.workflow import runs
from training.workflow.evaluation import results_of
from training.workflow.folders import log_of, progress_of
from training.workflow.tails import text_tail

SHOWN_DROPPED = 100
SHOWN_SAMPLES = 3
SHOWN_STEPS = 12
PARTS = ("run_state", "run_log")


@require_safe
@require_role(Role.REVIEWER)
def list_runs(request: HttpRequest, project: Project) -> HttpResponse:
    rows = project.runs.select_related("snapshot", "model", "round", "artifact", "batch")
    return render(request, "training/runs.html", {"page": Paginator(rows, 30).get_page(request.GET.get("page"))})


@require_safe
@never_cache
@require_role(Role.REVIEWER)
def show_run(request: HttpRequest, project: Project, run_id: int) -> HttpResponse:
    """HTMX asks for the parts that change, by their element's id; a change of state loads the whole page anew."""
    rows = Run.objects.select_related("snapshot", "model", "reference_model", "round", "batch", "created_by")
    run = in_project(rows, project, pk=run_id)
    context: dict[str, Any] = {"run": run, "log": text_tail(log_of(run)) or run.log_tail}
    if request.htmx:
        if request.GET.get("state") != run.state:
            return HttpResponseClientRefresh()
        part = request.htmx.target if request.htmx.target in PARTS else PARTS[0]
        return render(request, f"training/run.html#{part}", context)
    return render(request, "training/run.html", {**context, **whole_page(run)})


@require_POST
@require_role(Role.MANAGER)
def cancel_run(request: HttpRequest, project: Project, run_id: int) -> HttpResponse:
    run = in_project(Run, project, pk=run_id)
    try:
        runs.request_cancel(run, actor=request.user)
    except WorkflowError as error:
        tell(request, error)
    return redirect("run", project.slug, run.pk)


@require_POST
@require_role(Role.MANAGER)
def resume_run(request: HttpRequest, project: Project, run_id: int) -> HttpResponse:
    run = in_project(Run, project, pk=run_id)
    try:
        runs.resume(run, actor=request.user)
        dispatch_queued()
    except WorkflowError as error:
        tell(request, error)
    return redirect("run", project.slug, run.pk)


def whole_page(run: Run) -> dict[str, Any]:
    """What stands still between two changes of state."""
    artifact = Artifact.objects.filter(run=run).first()
    manifest = artifact.manifest if artifact else {}
    dropped = (manifest.get("data") or {}).get("dropped") or []
    skipped = run.result.get("skipped") or []
    results = results_of(run)
    return {
        "artifact": artifact,
        "manifest": manifest,
        "results": results,
        "events": run.events.select_related("actor"),
        "settings": settings_of(run),
        "dropped": [(entry.get("id"), entry.get("why")) for entry in dropped[:SHOWN_DROPPED]],
        "dropped_total": len(dropped),
        "skipped": [(entry.get("prompt"), entry.get("why")) for entry in skipped[:SHOWN_DROPPED]],
        "skipped_total": len(skipped),
        "samples": [] if results.pairs else last_samples(run),
        "steps": last_steps(run),
    }


def settings_of(run: Run) -> list[tuple[str, Any]]:
    """(label, value) in the recipe's order, then whatever an older version of the recipe knew."""
    known = fields(RECIPES[run.recipe]) if run.recipe in RECIPES else ()
    labels = {field.name: gettext(field.metadata.get("label", field.name)) for field in known}
    names = [name for name in labels if name in run.config] + [name for name in run.config if name not in labels]
    return [(labels.get(name, name), run.config[name]) for name in names]


def last_samples(run: Run) -> list[Sample]:
    """In an order that does not tell which of two models wrote which."""
    if run.recipe != "sample":
        return []
    rows = Sample.objects.filter(run=run).select_related("response__prompt", "artifact")
    return list(rows.order_by("-response__prompt_id", "response__text")[:SHOWN_SAMPLES])


def last_steps(run: Run) -> list[dict[str, Any]]:
    """The newest lines with numbers, for readers without JavaScript; only the end of the file is read."""
    path = progress_of(run)
    size = path.stat().st_size if path.exists() else 0
    rows = read_rows(path, max(0, size - 16_384))["rows"]
    return [row for row in rows if row.get("kind") in ("step", "eval")][-SHOWN_STEPS:]
