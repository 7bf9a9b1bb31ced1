"""The page of one run, and the buttons that cancel it, resume it and change its turn."""

from dataclasses import fields
from typing import Any

from django.db.models import Case, IntegerField, QuerySet, When
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe
from django_htmx.http import HttpResponseClientRefresh

from annotate.access import in_project, require_role
from annotate.models import Project, Role
from annotate.views.asked_number import is_number
from annotate.workflow.exceptions import WorkflowError
from training.forms.recipe import choice_label
from training.models import Artifact, Priority, Run, Sample
from training.recipes import RECIPES
from training.recipes.fields import counts
from training.tasks import dispatch_queued
from training.views.curves import columns_of, curves_of, line_of
from training.views.machine import machine_of
from training.views.notices import notices_of
from training.views.problems import tell
from training.views.rollout_samples import samples_over_time
from training.workflow import left_out, rounds, runs
from training.workflow.evaluation import results_of
from training.workflow.folders import log_of, progress_of
from training.workflow.queueing import priority_named, set_priority
from training.workflow.run_lines import read_rows
from training.workflow.starting import REWARDED
from training.workflow.tails import text_tail
from training.workflow.waiting import waits_of

SHOWN_LEFT_OUT = 100
SHOWN_SAMPLES = 3
SHOWN_STEPS = 12
SHOWN_OTHERS = 50
PARTS = ("run_state", "run_log")


@require_safe
@never_cache
@require_role(Role.REVIEWER)
def show_run(request: HttpRequest, project: Project, run_id: int) -> HttpResponse:
    """HTMX asks for the parts that change, by their element's id; a change of state loads the whole page anew."""
    related = (
        "project",
        "snapshot",
        "model",
        "reference_model",
        "reward_model",
        "demonstrations",
        "feedback",
        "round",
        "batch",
        "created_by",
    )
    rows = Run.objects.select_related(*related)
    run = in_project(rows, project, pk=run_id)
    if request.htmx and request.GET.get("state") != run.state:
        return HttpResponseClientRefresh()
    if request.htmx and request.htmx.target == "samples":
        return _newly_written(request, run)
    context: dict[str, Any] = {"run": run, "log": text_tail(log_of(run)) or run.log_tail, "waits": waits_of([run])}
    if request.htmx:
        part = request.htmx.target if request.htmx.target in PARTS else PARTS[0]
        return render(request, f"training/run.html#{part}", context)
    rollouts = samples_over_time(run, request.GET.get("page"))
    beside = run_beside(project, request.GET.get("with", ""))
    page = {**whole_page(run), **({"lines": [line_of(run), line_of(beside)]} if beside else {})}
    more = {"rollouts": rollouts, "beside": beside, "others": others_of(run)}
    return render(request, "training/run.html", {**context, **page, **more})


def _newly_written(request: HttpRequest, run: Run) -> HttpResponse:
    """The newest samples, or nothing where the page has them: what a reader has opened stays open."""
    rollouts = samples_over_time(run)
    number = rollouts.paginator.count if rollouts else 0
    if request.GET.get("written") == str(number):
        return HttpResponse(status=204)
    return render(request, "training/run.html#samples", {"run": run, "rollouts": rollouts})


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
        rounds.resume(run, actor=request.user)
        dispatch_queued()
    except WorkflowError as error:
        tell(request, error)
    return redirect("playground_session" if run.recipe == "playground" else "run", project.slug, run.pk)


@require_POST
@require_role(Role.MANAGER)
def change_priority(request: HttpRequest, project: Project, run_id: int) -> HttpResponse:
    run = in_project(Run, project, pk=run_id)
    try:
        set_priority(run, priority_named(request.POST.get("priority", "")), actor=request.user)
        dispatch_queued()
    except WorkflowError as error:
        tell(request, error)
    return redirect("run", project.slug, run.pk)


def run_beside(project: Project, asked: str) -> Run | None:
    """The run whose curves are drawn into the same pictures."""
    rows = project.runs.select_related("project")
    return rows.filter(pk=int(asked)).first() if is_number(asked) else None


def others_of(run: Run) -> QuerySet[Run]:
    """What one might look at beside it: runs of its project that have begun, those of its recipe first."""
    same = Case(When(recipe=run.recipe, then=0), default=1, output_field=IntegerField())
    rows = Run.objects.filter(project=run.project, started_at__isnull=False).exclude(pk=run.pk)
    return rows.order_by(same, "-pinned", "-id")[:SHOWN_OTHERS]


def whole_page(run: Run) -> dict[str, Any]:
    """What stands still between two changes of state."""
    artifact = Artifact.objects.filter(run=run).first()
    manifest = artifact.manifest if artifact else {}
    unused = left_out.left_out_of(run, manifest)
    results = results_of(run)
    return {
        "artifact": artifact,
        "manifest": manifest,
        "results": results,
        "events": run.events.select_related("actor"),
        "settings": settings_of(run),
        "left_out": list(left_out.named(unused[:SHOWN_LEFT_OUT])),
        "left_out_total": len(unused),
        "samples": [] if results.pairs else last_samples(run),
        "machine": machine_of(run, manifest),
        "notices": notices_of(run),
        "priorities": [(priority.name.lower(), priority.label, priority) for priority in Priority],
        **curves_with_numbers(run),
    }


def curves_with_numbers(run: Run) -> dict[str, Any]:
    return {
        "lines": [line_of(run)],
        "curves": curves_of(run.recipe),
        # Whether the policy was paid for what it should learn is seen there, and before anything else.
        "curves_first": run.recipe in REWARDED,
        "columns": columns_of(run.recipe),
        "steps": last_steps(run),
    }


def settings_of(run: Run) -> list[tuple[str, Any]]:
    """(label, value) in the recipe's order, without those that do not count with the others as they are; then
    whatever an older version of the recipe knew."""
    known = fields(RECIPES[run.recipe]) if run.recipe in RECIPES else ()
    labels = {field.name: gettext(field.metadata.get("label", field.name)) for field in known}
    looked_at = [field.name for field in known if field.name in run.config and counts(field, run.config)]
    names = looked_at + [name for name in run.config if name not in labels]
    return [(labels.get(name, name), setting_value(name, run.config[name])) for name in names]


def setting_value(name: str, value: Any) -> Any:
    return choice_label(name, value) if isinstance(value, str) else value


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
