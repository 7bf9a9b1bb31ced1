"""The prompts of a project: look, filter, upload."""

import io
from collections import Counter

from django.contrib import messages
from django.core.paginator import Paginator
from django.db.models import Count
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_safe

from annotate.access import require_role
from annotate.forms import UploadForm
from annotate.models import Project, Prompt, Role
from annotate.workflow.exceptions import UploadRejected
from annotate.workflow.intake import import_prompts

PER_PAGE = 50


@require_safe
@require_role(Role.REVIEWER)
def list_prompts(request: HttpRequest, project: Project) -> HttpResponse:
    """Tags live in a JSON list, which SQLite cannot be asked about: they are filtered here, over ids only."""
    wanted = {name: request.GET[name] for name in ("tag", "language") if request.GET.get(name)}
    rows = list(project.prompts.values_list("id", "tags", "language"))
    ids = [
        pk for pk, tags, language in rows
        if wanted.get("tag") in (None, *tags) and wanted.get("language") in (None, language)
    ]  # fmt: skip
    page = Paginator(ids, PER_PAGE).get_page(request.GET.get("page"))
    found = Prompt.objects.filter(pk__in=list(page))
    prompts = found.annotate(
        n_responses=Count("responses", distinct=True), n_comparisons=Count("comparisons", distinct=True)
    )
    context = {
        "project": project, "page": page, "prompts": prompts, "total": len(rows), "wanted": wanted,
        "query": f"{urlencode(wanted)}&" if wanted else "",
        "tags": Counter(tag for _pk, tags, _language in rows for tag in tags).most_common(100),
        "languages": Counter(language for _pk, _tags, language in rows if language).most_common(),
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
            said = _("%(new)s prompt(s) added, %(old)s were there already.")
            messages.success(request, said % {"new": report.created, "old": report.unchanged})
            return redirect("prompts", project.slug)
    status = 400 if rejected or form.errors else 200
    context = {"project": project, "form": form, "rejected": rejected}
    return render(request, "annotate/prompts_upload.html", context, status=status)
