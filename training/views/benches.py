"""Benches: the list, the form that starts one, the table with its plot, and the buttons that go on or stop."""

from typing import Any

from django.contrib import messages
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe
from django_htmx.http import HttpResponseClientRefresh

from annotate.access import in_project, require_role
from annotate.models import Project, Role, User
from annotate.views.csv_answer import csv_answer
from annotate.views.sent_once import sent_once
from annotate.workflow.exceptions import WorkflowError
from training.forms import BenchForm
from training.models import Bench, Run
from training.tasks import dispatch_queued
from training.views.problems import tell, unless_refused
from training.workflow.bench_table import COLUMNS, SORTS, cells_of, rows_of, told_of
from training.workflow.benches import BENCHED, cancel_bench, resume_bench, start_bench, state_of
from training.workflow.waiting import waits_of

RELATED = ("snapshot", "model", "created_by")


@require_safe
@require_role(Role.REVIEWER)
def list_benches(request: HttpRequest, project: Project) -> HttpResponse:
    rows = project.benches.select_related(*RELATED).prefetch_related("runs")
    found = [(bench, state_of(bench.runs.all()), done_of(bench.runs.all())) for bench in rows]
    return render(request, "training/benches.html", {"rows": found})


@require_http_methods(["GET", "HEAD", "POST"])
@require_role(Role.MANAGER)
@sent_once()
def create_bench(request: HttpRequest, project: Project) -> HttpResponse:
    """The recipe stands in the address, `?recipe=`: a reward model's as long as nothing is said."""
    recipe = request.GET.get("recipe", BENCHED[0])
    if recipe not in BENCHED:
        raise Http404
    form = BenchForm(project, recipe, request.POST or None, initial=request.GET.dict())
    if request.method == "POST" and form.is_valid():
        bench = unless_refused(form, start, project, form, request.user)
        if bench:
            dispatch_queued()
            said = _("Bench %(number)s has started.") % {"number": bench.number}
            messages.success(request, said, extra_tags="ok")
            return redirect("bench", project.slug, bench.number)
    context = {"form": form, "recipe": recipe, "recipes": BENCHED}
    return TemplateResponse(request, "training/bench_create.html", context)


@require_safe
@never_cache
@require_role(Role.REVIEWER)
def show_bench(request: HttpRequest, project: Project, number: int) -> HttpResponse:
    """HTMX asks for the table while the bench goes on; once a cell is done the whole page is loaded anew."""
    bench = in_project(Bench.objects.select_related(*RELATED), project, number=number)
    found = list(runs_of(bench))
    state, done = state_of(found), done_of(found)
    if request.htmx and request.GET.get("seen") != f"{state}{done}":
        return HttpResponseClientRefresh()
    sort = request.GET.get("sort", SORTS[0])
    cells = cells_of(bench, found, sort)
    context: dict[str, Any] = {
        "bench": bench,
        "cells": cells,
        "state": state,
        "done": done,
        "total": len(found),
        "sort": sort,
        "told": told_of(cells),
        "shared": {
            name: value for name, value in bench.config.items() if all(run.config.get(name) == value for run in found)
        },
        "waits": waits_of(found),
        "has_plot": sum(cell.accuracy is not None and cell.accuracy.value is not None for cell in cells) > 1,
        "can_resume": any(run.can_resume for run in found),
        "under_way": state in ("running", "waiting"),
    }
    return render(request, f"training/bench.html{'#cells' if request.htmx else ''}", context)


@require_POST
@require_role(Role.MANAGER)
def resume_cells(request: HttpRequest, project: Project, number: int) -> HttpResponse:
    """Every cell that has failed or was cancelled."""
    bench = in_project(Bench, project, number=number)
    try:
        resume_bench(bench, actor=request.user)
        dispatch_queued()
    except WorkflowError as error:
        tell(request, error)
    return redirect("bench", project.slug, bench.number)


@require_POST
@require_role(Role.MANAGER)
def cancel_cells(request: HttpRequest, project: Project, number: int) -> HttpResponse:
    bench = in_project(Bench, project, number=number)
    cancel_bench(bench, actor=request.user)
    return redirect("bench", project.slug, bench.number)


@require_safe
@require_role(Role.REVIEWER)
def download_bench(request: HttpRequest, project: Project, number: int) -> HttpResponse:
    bench = in_project(Bench, project, number=number)
    rows = rows_of(cells_of(bench, list(runs_of(bench))))
    return csv_answer(f"bench-{project.slug}-{number}", [COLUMNS, *(list(row.values()) for row in rows)])


def start(project: Project, form: BenchForm, actor: User) -> Bench:
    asked = form.cleaned_data
    # All of them ticked is no choice: then those that no other recipe than this lacks are told of, too.
    every = len(asked["methods"]) == len(form.fields["methods"].choices)
    return start_bench(
        project,
        form.recipe,
        asked["snapshot"],
        asked["model"],
        form.config,
        methods=() if every else asked["methods"],
        seed=asked["seed"],
        actor=actor,
        **form.waits_as,
    )


def runs_of(bench: Bench) -> QuerySet[Run]:
    return bench.runs.select_related("artifact", "project").order_by("pk")


def done_of(found: Any) -> int:
    return sum(run.is_over for run in found)
