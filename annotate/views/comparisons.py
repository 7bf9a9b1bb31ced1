"""Comparisons: the queue with its states, and one comparison with its judgments and where they went."""

from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from annotate.access import in_project, require_role
from annotate.models import Comparison, Project, Role
from annotate.views.asked_number import is_number
from annotate.workflow.adjudication import skipped
from annotate.workflow.bad_items import IS_BAD, WANTED

PER_PAGE = 50
# The right wing may say which models a judgment went into; the left wing does not know it.
LINEAGE = ["training/_lineage_of_comparison.html", "components/nothing.html"]


def statuses() -> dict[str, str]:
    return {
        "": _("All"),
        "waiting": _("Not judged"),
        "partly": _("Partly judged"),
        "complete": _("Complete"),
        "disputed": _("Disputed"),
        "adjudicated": _("Adjudicated"),
    }


@require_safe
@require_role(Role.REVIEWER)
def list_comparisons(request: HttpRequest, project: Project) -> HttpResponse:
    status, batch = request.GET.get("status", ""), request.GET.get("batch", "")
    rows = _of_status(project.comparisons.all(), status).order_by("id")
    if is_number(batch):
        rows = rows.filter(batch=int(batch))
    page = Paginator(rows, PER_PAGE).get_page(request.GET.get("page"))
    shown = Comparison.objects.filter(pk__in=[row.pk for row in page]).select_related("prompt", "batch")
    chosen = {name: value for name, value in (("status", status), ("batch", batch)) if value}
    context = {
        "project": project, "page": page, "comparisons": shown.order_by("id"),
        "statuses": statuses(), "status": status,
        "batches": project.batches.all(), "batch": batch, "query": f"{urlencode(chosen)}&" if chosen else "",
    }  # fmt: skip
    return render(request, "annotate/comparisons.html", context)


@require_safe
@require_role(Role.REVIEWER)
def show_comparison(request: HttpRequest, project: Project, comparison_id: int) -> HttpResponse:
    rows = Comparison.objects.select_related("prompt", "batch", "response_a", "response_b")
    comparison = in_project(rows, project, pk=comparison_id)
    context = {
        "project": project,
        "comparison": comparison,
        "judgments": comparison.judgments.current().select_related("annotator", "guideline_version"),
        "words": comparison.adjudications.select_related("adjudicator"),
        "skips": skipped(comparison).select_related("annotator"),
        "items": comparison.snapshot_items.select_related("snapshot").order_by("-snapshot__number"),
        "lineage": LINEAGE,
    }
    return render(request, "annotate/comparison.html", context)


def _of_status(rows: QuerySet[Comparison], status: str) -> QuerySet[Comparison]:
    if status == "waiting":
        return rows.exclude(IS_BAD).filter(judged=0)
    if status == "partly":
        return rows.filter(judged__gt=0, judged__lt=WANTED)
    if status == "complete":
        return rows.filter(judged__gte=WANTED)
    if status == "disputed":
        return rows.disputed()
    if status == "adjudicated":
        return rows.filter(is_adjudicated=True)
    return rows
