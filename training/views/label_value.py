"""What more labels would bring: right labels, narrower agreement, better reward models; and when to stop."""

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from annotate.access import require_role
from annotate.models import Project, Role
from annotate.statistics.estimate import Undefined
from annotate.views.csv_answer import csv_answer, not_computed_yet
from annotate.views.outcomes import with_outcomes
from annotate.workflow.agreement_summary import Summary
from training.tasks import ask_for_report
from training.views.label_value_tables import advice_of, gains_of, labels_of, tables_of
from training.workflow.label_value import with_advice, worth_from
from training.workflow.reports import LABEL_VALUE, refresh_report, report_for


@require_safe
@require_role(Role.REVIEWER)
def show_label_value(request: HttpRequest, project: Project) -> HttpResponse:
    worth, summary = worth_from(request.GET), _summary(project)
    context: dict[str, Any] = {"project": project, "summary": summary, "worth": worth}
    if summary.body:
        report = with_advice(summary.body, worth)
        found = with_outcomes(report)
        context |= {"report": found, "advice": advice_of(report), "labels": labels_of(found), "gains": gains_of(found)}
        context["why_no_curve"] = Undefined(found["reward_models"]["reason"])
    fragment = "training/label_value.html#advice"
    return render(request, fragment if request.htmx and summary.body else "training/label_value.html", context)


@require_POST
@require_role(Role.REVIEWER)
def refresh_label_value(request: HttpRequest, project: Project) -> HttpResponse:
    """Compute now what a worker would compute in a while."""
    refresh_report(project, LABEL_VALUE, {})
    messages.success(request, _("The numbers are those of now."))
    return redirect(f"{reverse('label_value', args=[project.slug])}?{request.GET.urlencode()}")


@require_safe
@require_role(Role.REVIEWER)
def download_label_value(request: HttpRequest, project: Project) -> HttpResponse:
    """Every number of the page's charts, a row each."""
    body = _summary(project).body
    return csv_answer(f"label-value-{project.slug}", tables_of(body)) if body else not_computed_yet()


def _summary(project: Project) -> Summary:
    """Asks for a newer one where it is old."""
    summary = report_for(project, LABEL_VALUE, {})
    if summary.is_stale:
        ask_for_report(project, LABEL_VALUE, {})
    return summary
