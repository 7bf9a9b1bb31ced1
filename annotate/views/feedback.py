"""The feedback of a project: sets of single votes on responses; look, upload."""

import io

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_safe

from annotate.access import in_project, require_role
from annotate.forms import UploadSetForm
from annotate.models import FeedbackSet, Project, Role
from annotate.workflow.exceptions import UploadRejected, WorkflowError
from annotate.workflow.feedback import import_feedback
from annotate.workflow.feedback_balance import balance_of

ROWS_SHOWN = 10


@require_safe
@require_role(Role.MANAGER)
def list_feedback(request: HttpRequest, project: Project) -> HttpResponse:
    sets = project.feedback_sets.select_related("created_by")
    return render(request, "annotate/feedback.html", {"project": project, "sets": sets})


@require_safe
@require_role(Role.MANAGER)
def show_feedback(request: HttpRequest, project: Project, set_id: int) -> HttpResponse:
    found = in_project(FeedbackSet.objects.select_related("created_by"), project, pk=set_id)
    context = {"project": project, "set": found, "rows": found.votes.all()[:ROWS_SHOWN], "balance": balance_of(found)}
    return render(request, "annotate/feedback_set.html", context)


@require_http_methods(["GET", "POST"])
@require_role(Role.MANAGER)
def upload_feedback(request: HttpRequest, project: Project) -> HttpResponse:
    """All or nothing; what is wrong is listed line by line."""
    form = UploadSetForm(request.POST or None, request.FILES or None)
    rejected = None
    if request.method == "POST" and form.is_valid():
        given = dict(form.cleaned_data)
        text, kind = given.pop("file")
        lines = io.StringIO(text, newline="")
        try:
            stored, created = import_feedback(project=project, lines=lines, format=kind, actor=request.user, **given)
        except UploadRejected as problem:
            rejected = problem
        except WorkflowError as problem:
            form.add_error(None, f"{problem.message} {problem.hint}")
        else:
            said = _("The votes of “%(name)s” are stored.") if created else _("These are the votes of “%(name)s”.")
            messages.success(request, said % {"name": stored.name})
            return redirect("feedback_set", project.slug, stored.pk)
    context = {"project": project, "form": form, "rejected": rejected}
    status = 400 if rejected or form.errors else 200
    return render(request, "annotate/feedback_upload.html", context, status=status)
