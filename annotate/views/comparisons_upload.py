"""Importing comparisons that were judged elsewhere."""

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_http_methods

from annotate.access import require_role
from annotate.forms import ComparisonsForm
from annotate.models import Project, Role
from annotate.workflow.comparison_import import import_comparisons
from annotate.workflow.exceptions import UploadRejected


@require_http_methods(["GET", "POST"])
@require_role(Role.MANAGER)
def upload_comparisons(request: HttpRequest, project: Project) -> HttpResponse:
    """All or nothing; what is wrong is listed line by line."""
    form = ComparisonsForm(request.POST or None, request.FILES or None)
    rejected = None
    if request.method == "POST" and form.is_valid():
        file, annotator = form.cleaned_data["file"], form.cleaned_data["annotator"]
        try:
            brought = import_comparisons(project=project, stream=file.file, name=file.name, annotator=annotator)
        except UploadRejected as problem:
            rejected = problem
        else:
            messages.success(request, _told(brought.as_json()))
            return redirect("comparisons", project.slug)
    status = 400 if rejected or form.errors else 200
    context = {"project": project, "form": form, "rejected": rejected}
    return render(request, "annotate/comparisons_upload.html", context, status=status)


def _told(brought: dict[str, Any]) -> str:
    """What came of an upload, each number with its noun."""

    def comparisons(n: int) -> str:
        return ngettext("%(n)s comparison", "%(n)s comparisons", n) % {"n": n}

    judgments = ngettext("%(n)s judgment", "%(n)s judgments", brought["judgments"]) % {"n": brought["judgments"]}
    said = _(
        "%(comparisons)s and %(judgments)s added; there already: %(unchanged)s; with two responses that are the same: "
        "%(identical)s."
    )
    return said % {
        "comparisons": comparisons(brought["comparisons"]),
        "judgments": judgments,
        "unchanged": comparisons(brought["unchanged"]),
        "identical": brought["identical"],
    }
