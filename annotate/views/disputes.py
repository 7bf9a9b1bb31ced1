"""The queue of adjudication: the comparisons on which people differ, and what was decided."""

from django.db.models import Prefetch
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from annotate.access import in_project, require_role
from annotate.models import Adjudication, Comparison, Project, Role
from annotate.views.asked_number import is_number
from annotate.workflow.disputes import (
    DisputeFilters,
    count_decided,
    count_skipped_by_all,
    count_undecided,
    disputes,
    filters_from,
    following,
    next_dispute,
)

PER_PAGE = 50


def states() -> dict[str, str]:
    return {
        "undecided": _("Undecided"),
        "decided": _("Decided"),
        "skipped": _("Skipped by all"),
        "all": _("All disputed"),
    }


@require_safe
@never_cache
@require_role(Role.REVIEWER)
def list_disputes(request: HttpRequest, project: Project) -> HttpResponse:
    """Page by page from one comparison to the next: a page far down costs no more than the first one. How the votes
    fell is not told, so that whoever decides can still look at the card first."""
    filters = filters_from(request.GET.dict())
    rows = disputes(project, filters)
    after = request.GET.get("after", "")
    if is_number(after):
        rows = following(rows, in_project(Comparison, project, pk=int(after)))
    words = Prefetch("adjudications", Adjudication.objects.current().select_related("adjudicator"), to_attr="words")
    shown = list(rows.select_related("prompt").prefetch_related(words)[: PER_PAGE + 1])
    context = {
        "project": project,
        "comparisons": shown[:PER_PAGE],
        "later": shown[PER_PAGE - 1].pk if len(shown) > PER_PAGE else None,
        "after": after,
        "filters": filters,
        "carried": urlencode(filters.given()),
        "states": states(),
        "versions": project.guideline_versions.values_list("number", flat=True),
        "tags": sorted({tag for row in shown for tag in row.prompt.tags}),
        "languages": sorted({row.prompt.language for row in shown if row.prompt.language}),
        "undecided": count_undecided(project),
        "decided": count_decided(project),
        "skipped": count_skipped_by_all(project),
    }
    return render(request, "annotate/disputes.html", context)


@require_safe
@never_cache
@require_role(Role.REVIEWER)
def show_next(request: HttpRequest, project: Project) -> HttpResponse:
    """To the card of the next comparison that is undecided; `?after=` names the one to pass over."""
    filters, after = filters_from(request.GET.dict()), request.GET.get("after", "")
    passed = None
    if is_number(after):
        passed = in_project(Comparison, project, pk=int(after))
    return redirect(address_of_next(project, filters, next_dispute(project, filters, passed)))


def address_of_next(project: Project, filters: DisputeFilters, found: Comparison | None) -> str:
    """The card with the filters carried along, or the queue when nothing is left."""
    name, which = ("adjudicate", [found.pk]) if found else ("disputes", [])
    address = reverse(name, args=[project.slug, *which])
    carried = urlencode(filters.given())
    return f"{address}?{carried}" if carried else address
