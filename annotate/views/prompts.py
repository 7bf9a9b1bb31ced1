"""The prompts of a project: look, filter, upload."""

import io

from django.contrib import messages
from django.core.paginator import Paginator
from django.db.models import Count
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.http import urlencode
from django.utils.translation import ngettext
from django.views.decorators.http import require_http_methods, require_safe

from annotate.access import require_role
from annotate.forms import UploadForm
from annotate.models import Project, Prompt, Role
from annotate.workflow.exceptions import UploadRejected
from annotate.workflow.intake import import_prompts

PER_PAGE = 50
MOST_TAGS = 100


@require_safe
@require_role(Role.REVIEWER)
def list_prompts(request: HttpRequest, project: Project) -> HttpResponse:
    """Filtered by a tag and a language, and how many prompts have which."""
    wanted = {name: request.GET[name] for name in ("tag", "language") if request.GET.get(name)}
    found = project.prompts.all()
    if "tag" in wanted:
        found = found.tagged(wanted["tag"])
    if "language" in wanted:
        found = found.in_language(wanted["language"])
    page = Paginator(found.values_list("pk", flat=True), PER_PAGE).get_page(request.GET.get("page"))
    prompts = Prompt.objects.filter(pk__in=list(page)).annotate(
        n_responses=Count("responses", distinct=True), n_comparisons=Count("comparisons", distinct=True)
    )
    context = {
        "project": project, "page": page, "prompts": prompts, "total": project.prompts.count(), "wanted": wanted,
        "query": f"{urlencode(wanted)}&" if wanted else "",
        "tags": project.prompts.tag_counts(MOST_TAGS), "languages": project.prompts.language_counts(),
    }  # fmt: skip
    return render(request, "annotate/prompts.html", context)


@require_http_methods(["GET", "POST"])
@require_role(Role.MANAGER)
def upload_prompts(request: HttpRequest, project: Project) -> HttpResponse:
    """All or nothing; what is wrong is listed line by line."""
    form = UploadForm(request.POST or None, request.FILES or None)
    rejected = None
    if request.method == "POST" and form.is_valid():
        text, kind = form.cleaned_data["file"]
        try:
            report = import_prompts(project=project, lines=io.StringIO(text, newline=""), format=kind)
        except UploadRejected as problem:
            rejected = problem
        else:
            said = ngettext(
                "%(new)s prompt added, %(old)s were there already.",
                "%(new)s prompts added, %(old)s were there already.",
                report.created,
            )
            messages.success(request, said % {"new": report.created, "old": report.unchanged})
            return redirect("prompts", project.slug)
    status = 400 if rejected or form.errors else 200
    context = {"project": project, "form": form, "rejected": rejected}
    return render(request, "annotate/prompts_upload.html", context, status=status)
