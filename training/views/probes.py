"""Probes of a project: its sets, what they ask, upload and delete; and the file of what a policy has unlearned."""

import io

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from annotate.access import in_project, require_role
from annotate.models import Project, Role
from annotate.views.csv_answer import csv_answer
from annotate.workflow.exceptions import UploadRejected
from training.forms import ProbesForm
from training.models import ProbeSet, Round, Run
from training.views.problems import unless_refused
from training.workflow.alignment_tax import COLUMNS, policies_of, rows_of
from training.workflow.probes import delete_probes, import_probes, shipped_probes

ROWS_SHOWN = 100


@require_safe
@require_role(Role.REVIEWER)
def list_probes(request: HttpRequest, project: Project) -> HttpResponse:
    sets = project.probe_sets.defer("rows").select_related("created_by")
    return render(request, "training/probes.html", {"sets": sets, "shipped": shipped_probes()})


@require_safe
@require_role(Role.REVIEWER)
def show_probes(request: HttpRequest, project: Project, set_id: int) -> HttpResponse:
    found = in_project(ProbeSet.objects.select_related("created_by"), project, pk=set_id)
    return render(request, "training/probe_set.html", {"set": found, "rows": found.rows[:ROWS_SHOWN]})


@require_safe
@require_role(Role.REVIEWER)
def show_shipped_probes(request: HttpRequest, project: Project) -> HttpResponse:
    shipped = shipped_probes()
    return render(request, "training/probe_set.html", {"set": shipped, "rows": shipped.rows[:ROWS_SHOWN]})


@require_http_methods(["GET", "HEAD", "POST"])
@require_role(Role.MANAGER)
def upload_probes(request: HttpRequest, project: Project) -> HttpResponse:
    """All or nothing; what is wrong is listed line by line."""
    form, rejected = ProbesForm(request.POST or None, request.FILES or None), None
    if request.method == "POST" and form.is_valid():
        lines = io.StringIO(form.cleaned_data["file"], newline="")
        given = {"project": project, "name": form.cleaned_data["name"], "lines": lines, "actor": request.user}
        try:
            stored = unless_refused(form, import_probes, **given)
        except UploadRejected as problem:
            stored, rejected = None, problem
        if stored:
            said = _("The set “%(name)s” is stored.") if stored[1] else _("These are the questions of “%(name)s”.")
            messages.success(request, said % {"name": stored[0]}, extra_tags="ok")
            return redirect("probe_set", project.slug, stored[0].pk)
    status = 400 if rejected or form.errors else 200
    return render(request, "training/probes_upload.html", {"form": form, "rejected": rejected}, status=status)


@require_POST
@require_role(Role.MANAGER)
def remove_probes(request: HttpRequest, project: Project, set_id: int) -> HttpResponse:
    found = in_project(ProbeSet, project, pk=set_id)
    delete_probes(found)
    messages.success(request, _("The set “%(name)s” is deleted.") % {"name": found.name}, extra_tags="ok")
    return redirect("probes", project.slug)


@require_safe
@require_role(Role.REVIEWER)
def download_run_tax(request: HttpRequest, project: Project, run_id: int) -> HttpResponse:
    run = in_project(Run, project, pk=run_id)
    return _file(f"alignment-tax-run-{run.pk}", [run])


@require_safe
@require_role(Role.REVIEWER)
def download_round_tax(request: HttpRequest, project: Project, number: int) -> HttpResponse:
    round = in_project(Round, project, number=number)
    return _file(f"alignment-tax-round-{number}", policies_of(round))


def _file(name: str, runs: list[Run]) -> HttpResponse:
    rows = ([row[column] for column in COLUMNS] for row in rows_of(runs))
    return csv_answer(name, [COLUMNS, *rows])
