"""The judging page: one card at a time. GET only reads; every POST answers with the next card."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from annotate.access import in_project, require_role
from annotate.forms import JudgmentForm, SkipForm, UndoForm
from annotate.models import Assignment, GuidelineVersion, Project, Role, User
from annotate.views.asked_number import is_number
from annotate.views.card import all_done, card_of, guideline_card, nothing_to_judge_under, start_card
from annotate.workflow.assignment import current_lease, lease_next
from annotate.workflow.exceptions import GuidelineNotRead, MalformedAnswer, NoGuideline, NotYourAssignment
from annotate.workflow.guidelines import current_version, last_read_version, mark_read, unread_version
from annotate.workflow.judging import last_answered, skip, submit_judgment, undo_last
from annotate.workflow.progress import progress_of

PAGE = "annotate/judge.html"
FRAGMENT = "annotate/judge.html#card"


@require_safe
@never_cache
@require_role(Role.ANNOTATOR)
def show_card(request: HttpRequest, project: Project) -> HttpResponse:
    """The card that is open, or what stands in its place."""
    return render(request, PAGE, {"project": project, **_what_is_open(project, request.user)})


# The verbs below accept a GET only to lead it back: a sign-in in between turns a POST into one.
@require_http_methods(["GET", "POST"])
@never_cache
@require_role(Role.ANNOTATOR)
def take_next(request: HttpRequest, project: Project) -> HttpResponse:
    if request.method == "GET":
        return redirect("judge", project.slug)
    return _next_card(request, project)


@require_http_methods(["GET", "POST"])
@never_cache
@require_role(Role.ANNOTATOR)
def submit(request: HttpRequest, project: Project) -> HttpResponse:
    """Store the judgment. The header tells the outbox that this very answer is safe; a 200 alone would not."""
    if request.method == "GET":
        return redirect("judge", project.slug)
    answer = _cleaned(JudgmentForm(request.POST))
    judgment = submit_judgment(
        assignment_id=answer.pop("assignment"), annotator=request.user, project=project, **answer
    )
    response = _next_card(request, project, answered=judgment.assignment)
    response["X-Judgment-Stored"] = str(judgment.client_key)
    return response


@require_http_methods(["GET", "POST"])
@never_cache
@require_role(Role.ANNOTATOR)
def skip_card(request: HttpRequest, project: Project) -> HttpResponse:
    if request.method == "GET":
        return redirect("judge", project.slug)
    answer = _cleaned(SkipForm(request.POST))
    assignment = _own_assignment(request.user, project, answer.pop("assignment"))
    skipped = skip(assignment_id=assignment.pk, annotator=request.user, **answer)
    return _next_card(request, project, answered=skipped)


@require_http_methods(["GET", "POST"])
@never_cache
@require_role(Role.ANNOTATOR)
def undo(request: HttpRequest, project: Project) -> HttpResponse:
    if request.method == "GET":
        return redirect("judge", project.slug)
    undo_last(project=project, annotator=request.user, **_cleaned(UndoForm(request.POST)))
    return _next_card(request, project)


@require_http_methods(["GET", "POST"])
@never_cache
@require_role(Role.ANNOTATOR)
def read_guideline(request: HttpRequest, project: Project) -> HttpResponse:
    """The person has been shown this version; a newer one published meanwhile is shown next."""
    if request.method == "GET":
        return redirect("judge", project.slug)
    number = request.POST.get("version", "")
    if not is_number(number):
        raise MalformedAnswer(_("The form names no version of the guideline."), _("Reload the page."))
    mark_read(version=in_project(GuidelineVersion, project, number=int(number)), user=request.user)
    return _next_card(request, project)


def _next_card(request: HttpRequest, project: Project, answered: Assignment | None = None) -> HttpResponse:
    """Lease the next card; as a fragment for HTMX, otherwise by way of the page itself (reloading is then harmless).
    `answered` is what an undo will mean, where the request tells it: one query less on the busiest way."""
    try:
        lease = lease_next(project=project, annotator=request.user)
    except GuidelineNotRead:
        context = _unread(project, request.user)
    except NoGuideline:
        context = nothing_to_judge_under()
    else:
        progress = progress_of(project, request.user)
        context = card_of(lease, progress) if lease else all_done(progress)
        context["last"] = answered or last_answered(project, request.user)
    if not request.htmx:
        return redirect("judge", project.slug)
    return render(request, FRAGMENT, {"project": project, **context})


def _what_is_open(project: Project, user: User) -> dict[str, Any]:
    if current_version(project) is None:
        return nothing_to_judge_under()
    if unread_version(project, user):
        return _unread(project, user)
    lease, progress = current_lease(project, user), progress_of(project, user)
    without = start_card(progress) if progress.mine_open else all_done(progress)
    shown = card_of(lease, progress) if lease else without
    return {**shown, "last": last_answered(project, user)}


def _unread(project: Project, user: User) -> dict[str, Any]:
    return guideline_card(current_version(project), last_read_version(project, user))


def _own_assignment(user: User, project: Project, assignment_id: int) -> Assignment:
    mine = Assignment.objects.filter(annotator=user, comparison__project=project, pk=assignment_id).first()
    if mine is None:
        raise NotYourAssignment(_("There is no such comparison in your queue."), _("Reload the page."))
    return mine


def _cleaned(form: JudgmentForm | SkipForm | UndoForm) -> dict[str, Any]:
    if form.is_valid():
        return dict(form.cleaned_data)
    said = " ".join(str(error) for errors in form.errors.values() for error in errors)
    raise MalformedAnswer(_("The answer could not be read."), said)
