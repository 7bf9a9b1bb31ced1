"""How the models whose responses people compared stand to each other: ratings, win rates, who cannot be told apart."""

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from annotate.access import require_role
from annotate.models import Project, Role
from annotate.views.csv_answer import csv_answer, not_computed_yet
from annotate.views.outcomes import with_outcomes
from annotate.workflow.agreement_summary import Summary
from training.tasks import ask_for_report
from training.views.rating_tables import MOST_IN_MATRIX, choices_of, matrix_of, rating_rows, sentences_of, win_rate_rows
from training.workflow.rating_filters import filters_from
from training.workflow.reports import RATINGS, refresh_report, report_for


@require_safe
@require_role(Role.REVIEWER)
def show_ratings(request: HttpRequest, project: Project) -> HttpResponse:
    filters, summary = filters_from(request.GET), _summary(request, project)
    context: dict[str, Any] = {"project": project, "summary": summary, "filters": filters}
    if summary.body:
        context |= _figures(summary.body)
    context["choices"] = choices_of(project, filters, (summary.body or {}).get("options", {}))
    return render(request, "training/ratings.html#figures" if request.htmx else "training/ratings.html", context)


@require_POST
@require_role(Role.REVIEWER)
def refresh_ratings(request: HttpRequest, project: Project) -> HttpResponse:
    """Compute now what a worker would compute in a while; the filters stand in the address."""
    refresh_report(project, RATINGS, filters_from(request.GET).as_query())
    messages.success(request, _("The numbers are those of now."))
    return redirect(f"{reverse('ratings', args=[project.slug])}?{request.GET.urlencode()}")


@require_safe
@require_role(Role.REVIEWER)
def download_ratings(request: HttpRequest, project: Project) -> HttpResponse:
    body = _summary(request, project).body
    return csv_answer(f"ratings-{project.slug}", rating_rows(body)) if body else not_computed_yet()


@require_safe
@require_role(Role.REVIEWER)
def download_win_rates(request: HttpRequest, project: Project) -> HttpResponse:
    body = _summary(request, project).body
    return csv_answer(f"win-rates-{project.slug}", win_rate_rows(body)) if body else not_computed_yet()


def _summary(request: HttpRequest, project: Project) -> Summary:
    """Under the filters of the address; asks for a newer one where it is old."""
    query = filters_from(request.GET).as_query()
    summary = report_for(project, RATINGS, query)
    if summary.is_stale:
        ask_for_report(project, RATINGS, query)
    return summary


def _figures(body: dict[str, Any]) -> dict[str, Any]:
    found = with_outcomes(body)
    names = [row["model"] for row in found["ratings"]][:MOST_IN_MATRIX]
    return {
        "report": found,
        "rated": [row for row in found["ratings"] if found["reason"] is None],
        "names": names,
        "matrix": matrix_of(names, found["win_rates"]),
        "sentences": sentences_of(found["parts"]),
        "beyond_matrix": max(0, len(found["ratings"]) - MOST_IN_MATRIX),
    }
