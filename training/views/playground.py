"""The pages of the playground: which there are, the form that starts one, and the page of one of them."""

from typing import Any

from django.contrib import messages
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe
from django_htmx.http import HttpResponseClientRefresh

from annotate.access import require_role
from annotate.models import Project, Role
from annotate.views.sent_once import sent_once
from training.forms import PlaygroundForm
from training.models import Playground
from training.tasks import dispatch_queued
from training.views.estimates import is_asked, is_to_start
from training.views.playground_context import chat_context, score_context, state_context
from training.views.problems import unless_refused
from training.workflow import playground
from training.workflow.playground_memory import Wanted, memory_wanted
from training.workflow.playground_turns import conversation_of

PER_PAGE = 20
RELATED = ("run__model", "run__reference_model", "run__reward_model", "run__created_by", "run__project")
PARTS = ("playground_state", "last_turn", "last_score")


@require_http_methods(["GET", "HEAD", "POST"])
@require_role(Role.REVIEWER)
def show_playgrounds(request: HttpRequest, project: Project) -> HttpResponse:
    """A manager starts one here; a reviewer reads."""
    if request.method == "POST":
        return start(request, project.slug)
    return list_page(request, project, PlaygroundForm(project, initial=request.GET.dict()))


@require_role(Role.MANAGER)
@sent_once(is_to_start)
def start(request: HttpRequest, project: Project) -> HttpResponse:
    form = PlaygroundForm(project, request.POST)
    if form.is_valid() and not is_asked(request):
        session = unless_refused(form, playground.start_playground, project, **form.asked, actor=request.user)
        if session:
            dispatch_queued()
            return redirect("playground_session", project.slug, session.run_id)
    return list_page(request, project, form)


def list_page(request: HttpRequest, project: Project, form: PlaygroundForm) -> HttpResponse:
    part = "#estimate" if request.htmx and is_asked(request) else ""
    context = {"form": form, "wanted": wanted_by(request, form), "project": project}
    if not part:
        page = Paginator(sessions_of(project), PER_PAGE).get_page(request.GET.get("page"))
        context |= {"page": page, "takes_comparisons": playground.takes_comparisons(project)}
    return TemplateResponse(request, f"training/playgrounds.html{part}", context)


def wanted_by(request: HttpRequest, form: PlaygroundForm) -> Wanted | None:
    """What is chosen so far is enough, be the rest of the form as it may."""
    if not is_asked(request):
        return None
    form.is_valid()
    given = form.cleaned_data
    models = [given[name] for name in ("model", "other") if given.get(name)]
    if not models and not given.get("reward_model"):
        return None
    return memory_wanted(models, given.get("reward_model"), given.get("device") or "any")


def sessions_of(project: Project) -> QuerySet[Playground]:
    return Playground.objects.filter(run__project=project).select_related(*RELATED)


def session_in(project: Project, run_id: int) -> Playground:
    """Or 404."""
    rows = Playground.objects.select_related(*RELATED)
    return get_object_or_404(rows, run__project=project, run=run_id)


@require_safe
@never_cache
@require_role(Role.REVIEWER)
def show_session(request: HttpRequest, project: Project, run_id: int) -> HttpResponse:
    """HTMX asks for the parts that change, by their element's id; once it is over the whole page is loaded anew."""
    session = session_in(project, run_id)
    if request.htmx and request.htmx.target in PARTS:
        if session.run.is_over and request.htmx.target == PARTS[0]:
            return HttpResponseClientRefresh()
        return session_page(request, session, request.htmx.target)
    return session_page(request, session)


def session_page(request: HttpRequest, session: Playground, part: str = "") -> HttpResponse:
    conversation = conversation_of(session)
    context: dict[str, Any] = {"session": session, "run": session.run, "project": session.run.project}
    context |= state_context(session) | chat_context(session, conversation) | score_context(session, conversation)
    return render(request, f"training/playground.html{'#' + part if part else ''}", context)


@require_POST
@require_role(Role.MANAGER)
def end_session(request: HttpRequest, project: Project, run_id: int) -> HttpResponse:
    session = session_in(project, run_id)
    playground.end_playground(session, actor=request.user)
    return redirect("playground_session", project.slug, session.run_id)


@require_POST
@require_role(Role.MANAGER)
def reveal_names(request: HttpRequest, project: Project, run_id: int) -> HttpResponse:
    session = session_in(project, run_id)
    playground.reveal(session, actor=request.user)
    return redirect("playground_session", project.slug, session.run_id)


@require_POST
@require_role(Role.MANAGER)
def change_rule(request: HttpRequest, project: Project) -> HttpResponse:
    allowed = request.POST.get("allowed") == "1"
    playground.allow_comparisons(project, allowed)
    said = (
        _("Comparisons from the playground are taken from now on.")
        if allowed
        else _("No more comparisons are taken from the playground. Those that are there stay.")
    )
    messages.success(request, said, extra_tags="ok")
    return redirect("playgrounds", project.slug)
