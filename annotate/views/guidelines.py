"""The guideline: read it, its history and differences; for managers the draft and its publication."""

from itertools import pairwise

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from annotate.access import in_project, require_role
from annotate.forms import DraftForm
from annotate.models import GuidelineDraft, GuidelineVersion, Project, Role
from annotate.views.difference import is_changed, passages
from annotate.workflow.exceptions import EmptyGuideline
from annotate.workflow.guidelines import current_version, publish, save_draft


@require_safe
@require_role(Role.ANNOTATOR)
def show_guideline(request: HttpRequest, project: Project) -> HttpResponse:
    """The current version and the history; only the text when the drawer of the judging page asks."""
    versions = list(project.guideline_versions.select_related("published_by"))
    context = {"project": project, "version": versions[0] if versions else None, "versions": versions}
    for newer, older in pairwise(versions):
        newer.before = older
    in_drawer = request.htmx and request.htmx.target == "guideline-text"
    page = "annotate/guideline.html"
    return render(request, f"{page}#guideline-text" if in_drawer else page, context)


@require_safe
@require_role(Role.ANNOTATOR)
def show_version(request: HttpRequest, project: Project, number: int) -> HttpResponse:
    version = in_project(GuidelineVersion.objects.select_related("published_by"), project, number=number)
    return render(request, "annotate/guideline_version.html", {"project": project, "version": version})


@require_safe
@require_role(Role.ANNOTATOR)
def show_difference(request: HttpRequest, project: Project, older: int, newer: int) -> HttpResponse:
    before = in_project(GuidelineVersion, project, number=older)
    after = in_project(GuidelineVersion, project, number=newer)
    between = project.guideline_versions.filter(number__gt=older, number__lte=newer)
    context = {"project": project, "older": before, "newer": after, "between": between}
    context["passages"] = passages(before.body, after.body)
    return render(request, "annotate/guideline_difference.html", context)


@require_http_methods(["GET", "POST"])
@require_role(Role.MANAGER)
def edit_draft(request: HttpRequest, project: Project) -> HttpResponse:
    """Save the draft, or (`action=preview`) show it rendered without saving."""
    if request.method == "GET":
        return _editor(request, project, DraftForm(initial={"body": _draft_body(project)}))
    form = DraftForm(request.POST)
    if request.POST.get("action") == "preview" or not form.is_valid():
        return _editor(request, project, form)
    save_draft(project=project, body=form.cleaned_data["body"], actor=request.user)
    messages.success(request, _("The draft is saved. Annotators see it once it is published."))
    return redirect("guideline_draft", project.slug)


@require_POST
@require_role(Role.MANAGER)
def publish_guideline(request: HttpRequest, project: Project) -> HttpResponse:
    """Save what stands in the editor and publish it; what is missing is said at the field."""
    form = DraftForm(request.POST)
    if not form.is_valid():
        return _editor(request, project, form)
    body = form.cleaned_data["body"]
    # Apart, so that it stays if it cannot be published.
    save_draft(project=project, body=body, actor=request.user)
    try:
        version = publish(project=project, body=body, summary=form.cleaned_data["summary"], actor=request.user)
    except EmptyGuideline as problem:
        form.add_error(None, f"{problem.message} {problem.hint}")
        return _editor(request, project, form)
    messages.success(request, _("Version %(n)s is published.") % {"n": version.number})
    return redirect("guideline", project.slug)


def _draft_body(project: Project) -> str:
    draft = GuidelineDraft.objects.filter(project=project).first()
    latest = current_version(project)
    return draft.body if draft else latest.body if latest else ""


def _editor(request: HttpRequest, project: Project, form: DraftForm) -> HttpResponse:
    body = form["body"].value() or ""
    latest = current_version(project)
    changes = passages(latest.body, body.replace("\r\n", "\n")) if latest else []
    context = {"project": project, "form": form, "body": body, "latest": latest, "passages": changes}
    context["changed"] = is_changed(changes)
    template = "annotate/guideline_draft.html#preview" if request.htmx else "annotate/guideline_draft.html"
    return render(request, template, context, status=400 if form.errors else 200)
