"""The adjudication page: one disputed comparison at a time. GET only reads; every POST answers with the next one."""

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from annotate.access import in_project, require_role
from annotate.forms import AdjudicationForm
from annotate.models import Comparison, GuidelineVersion, Project, Role, Verdict
from annotate.views.adjudication_card import case_of, nothing_left, unread_guideline
from annotate.views.asked_number import is_number
from annotate.views.disputes import address_of_next
from annotate.workflow.adjudication import adjudicate, draw_flipped, undo_last_adjudication
from annotate.workflow.disputes import DisputeFilters, filters_from, next_dispute
from annotate.workflow.exceptions import MalformedAnswer
from annotate.workflow.guidelines import mark_read, unread_version
from annotate.workflow.judging import choice_of_side

PAGE = "annotate/adjudicate.html"
FRAGMENT = "annotate/adjudicate.html#card"
NO_SIDE = (Verdict.BAD, Verdict.WITHDRAWN)


@require_safe
@never_cache
@require_role(Role.REVIEWER)
def show_case(request: HttpRequest, project: Project, comparison_id: int) -> HttpResponse:
    """Blind at first; `?votes=1` shows how people answered."""
    comparison = _comparison(project, comparison_id)
    context = _what_is_open(request, comparison, filters_from(request.GET.dict()))
    return render(request, FRAGMENT if request.htmx else PAGE, context)


# The verbs below accept a GET only to lead it back: a sign-in in between turns a POST into one.
@require_http_methods(["GET", "POST"])
@never_cache
@require_role(Role.REVIEWER)
def submit_decision(request: HttpRequest, project: Project, comparison_id: int) -> HttpResponse:
    if request.method == "GET":
        return redirect("adjudicate", project.slug, comparison_id)
    comparison, filters = _comparison(project, comparison_id), filters_from(request.GET.dict())
    answer = _cleaned(AdjudicationForm(request.POST))
    flipped, side = draw_flipped(comparison, request.user), answer.pop("side")
    verdict = Verdict(side if side in NO_SIDE else choice_of_side(side, flipped=flipped))
    adjudicate(comparison=comparison, adjudicator=request.user, verdict=verdict, flipped=flipped, **answer)
    return _go_to(request, project, filters, next_dispute(project, filters, comparison))


@require_http_methods(["GET", "POST"])
@never_cache
@require_role(Role.REVIEWER)
def undo_decision(request: HttpRequest, project: Project) -> HttpResponse:
    """The comparison decided last comes back, undecided."""
    if request.method == "GET":
        return redirect("disputes", project.slug)
    filters = filters_from(request.GET.dict())
    withdrawn = undo_last_adjudication(project=project, adjudicator=request.user)
    return _go_to(request, project, filters, _comparison(project, withdrawn.comparison_id))


@require_http_methods(["GET", "POST"])
@never_cache
@require_role(Role.REVIEWER)
def read_guideline(request: HttpRequest, project: Project, comparison_id: int) -> HttpResponse:
    """The person has been shown this version; a newer one published meanwhile is shown next."""
    if request.method == "GET":
        return redirect("adjudicate", project.slug, comparison_id)
    number = request.POST.get("version", "")
    if not is_number(number):
        raise MalformedAnswer(_("The form names no version of the guideline."), _("Reload the page."))
    mark_read(version=in_project(GuidelineVersion, project, number=int(number)), user=request.user)
    comparison, filters = _comparison(project, comparison_id), filters_from(request.GET.dict())
    return _go_to(request, project, filters, comparison)


def _go_to(
    request: HttpRequest, project: Project, filters: DisputeFilters, comparison: Comparison | None
) -> HttpResponse:
    """As a fragment for HTMX, with its address; otherwise by way of the page itself (reloading is then harmless)."""
    address = address_of_next(project, filters, comparison)
    if not request.htmx:
        if comparison is None:
            messages.success(request, _("Everything that is disputed here is decided."))
        return redirect(address)
    context = nothing_left(project, filters)
    if comparison:
        context = _what_is_open(request, _comparison(project, comparison.pk), filters)
    response = render(request, FRAGMENT, context)
    response["HX-Push-Url"] = address
    return response


def _what_is_open(request: HttpRequest, comparison: Comparison, filters: DisputeFilters) -> dict[str, Any]:
    if version := unread_version(comparison.project, request.user):
        return unread_guideline(version, comparison, request.user, filters)
    reveal = request.method == "GET" and request.GET.get("votes") == "1"
    return case_of(comparison, request.user, filters, reveal=reveal)


def _comparison(project: Project, comparison_id: int) -> Comparison:
    rows = Comparison.objects.select_related("project", "prompt", "response_a", "response_b")
    return in_project(rows, project, pk=comparison_id)


def _cleaned(form: AdjudicationForm) -> dict[str, Any]:
    if form.is_valid():
        return dict(form.cleaned_data)
    said = " ".join(str(error) for errors in form.errors.values() for error in errors)
    raise MalformedAnswer(_("The decision could not be read."), said)
