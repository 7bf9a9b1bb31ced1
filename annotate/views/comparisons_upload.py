"""Importing comparisons that were judged elsewhere."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
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
        file = form.cleaned_data["file"]
        try:
            brought = import_comparisons(project=project, stream=file.file, name=file.name)
        except UploadRejected as problem:
            rejected = problem
        else:
            said = _(
                "%(comparisons)s comparison(s) and %(judgments)s judgment(s) added; %(unchanged)s comparison(s) were "
                "there already, and in %(identical)s both responses are the same."
            )
            messages.success(request, said % brought.as_json())
            return redirect("comparisons", project.slug)
    status = 400 if rejected or form.errors else 200
    context = {"project": project, "form": form, "rejected": rejected}
    return render(request, "annotate/comparisons_upload.html", context, status=status)
