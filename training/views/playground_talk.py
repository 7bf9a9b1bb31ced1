"""The buttons of a playground's page: say something, stop an answer, score a text, send a pair to the queue."""

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from annotate.access import require_role
from annotate.models import Project, Role
from annotate.views.asked_number import is_number
from training.forms import ScoreForm, TalkForm
from training.models import Playground
from training.views.playground import session_in, session_page
from training.workflow.exceptions import BadInput
from training.workflow.playground_chat import EACH, ask, ask_again, score, score_answer, stop_answer
from training.workflow.playground_sending import send_to_queue


@require_POST
@require_role(Role.MANAGER)
def send_message(request: HttpRequest, project: Project, run_id: int) -> HttpResponse:
    """`again`: the number of the last message, to be answered once more; `edit`: the same in the words of `edited`."""
    session = session_in(project, run_id)
    form = checked(TalkForm(request.POST))
    given = form.cleaned_data
    shared = {"settings": form.settings, "seed": given["seed"], "system": given["system"]}
    if "again" in request.POST:
        ask_again(session, number_in(request, "again"), **shared)
    elif "edit" in request.POST:
        ask_again(session, number_in(request, "edit"), given["edited"] or " ", **shared)
    else:
        begins = given["begins"]
        ask(session, given["text"], goes_on_from=given["goes_on_from"] or EACH, begins=begins, **shared)
    return after(request, session, "chat")


@require_POST
@require_role(Role.MANAGER)
def stop_writing(request: HttpRequest, project: Project, run_id: int) -> HttpResponse:
    session = session_in(project, run_id)
    stop_answer(session, number_in(request, "message"))
    return after(request, session, "last_turn")


@require_POST
@require_role(Role.MANAGER)
def score_text(request: HttpRequest, project: Project, run_id: int) -> HttpResponse:
    """A prompt and a response, or with `message` and `side` what a model has answered."""
    session = session_in(project, run_id)
    if "message" in request.POST:
        score_answer(session, number_in(request, "message"), request.POST.get("side", ""))
    else:
        given = checked(ScoreForm(request.POST)).cleaned_data
        score(session, given["prompt"], given["response"])
    return after(request, session, "scores")


@require_POST
@require_role(Role.MANAGER)
def send_pair(request: HttpRequest, project: Project, run_id: int) -> HttpResponse:
    session = session_in(project, run_id)
    comparison, is_new = send_to_queue(session, number_in(request, "message"))
    said = _("It stands in the queue as comparison %(n)s.") if is_new else _("It is there already: comparison %(n)s.")
    messages.success(request, said % {"n": comparison.pk}, extra_tags="ok")
    return redirect("playground_session", project.slug, session.run_id)


def after(request: HttpRequest, session: Playground, part: str) -> HttpResponse:
    """The part that has changed for HTMX; the whole page otherwise, by its address."""
    if request.htmx:
        return session_page(request, session, part)
    response = redirect("playground_session", session.run.project.slug, session.run_id)
    response.headers["Location"] += f"#{part}"
    return response


def checked(form: Any) -> Any:
    """The form; its first fault as a message on the page, which is not drawn anew by a page that shows an answer."""
    if form.is_valid():
        return form
    name, faults = next(iter(form.errors.items()))
    label = form.fields[name].label if name in form.fields else ""
    raise BadInput(f"{label or name}: {faults[0]}", _("Correct it and send it again."), where=name)


def number_in(request: HttpRequest, name: str) -> int:
    asked = request.POST.get(name, "")
    if not is_number(asked):
        raise BadInput(_("There is no message %(number)s.") % {"number": asked}, _("Reload the page."))
    return int(asked)
