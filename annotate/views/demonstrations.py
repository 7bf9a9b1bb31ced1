"""The demonstrations of a project: sets of prompts with a response to imitate; look, upload."""

import io

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_safe

from annotate.access import in_project, require_role
from annotate.forms import UploadSetForm
from annotate.models import DemonstrationSet, Project, Role
from annotate.workflow.demonstrations import StoredDemonstrations, import_demonstrations
from annotate.workflow.exceptions import UploadRejected, WorkflowError

ROWS_SHOWN = 10


@require_safe
@require_role(Role.MANAGER)
def list_demonstrations(request: HttpRequest, project: Project) -> HttpResponse:
    sets = project.demonstration_sets.select_related("created_by")
    return render(request, "annotate/demonstrations.html", {"project": project, "sets": sets})


@require_safe
@require_role(Role.MANAGER)
def show_demonstrations(request: HttpRequest, project: Project, set_id: int) -> HttpResponse:
    found = in_project(DemonstrationSet.objects.select_related("created_by"), project, pk=set_id)
    context = {"project": project, "set": found, "rows": found.demonstrations.all()[:ROWS_SHOWN]}
    return render(request, "annotate/demonstration_set.html", context)


@require_http_methods(["GET", "POST"])
@require_role(Role.MANAGER)
def upload_demonstrations(request: HttpRequest, project: Project) -> HttpResponse:
    """All or nothing; what is wrong is listed line by line."""
    form = UploadSetForm(request.POST or None, request.FILES or None)
    rejected = None
    if request.method == "POST" and form.is_valid():
        given = dict(form.cleaned_data)
        text, kind = given.pop("file")
        lines = io.StringIO(text, newline="")
        try:
            brought = import_demonstrations(project=project, lines=lines, format=kind, actor=request.user, **given)
        except UploadRejected as problem:
            rejected = problem
        except WorkflowError as problem:
            form.add_error(None, f"{problem.message} {problem.hint}")
        else:
            messages.success(request, _told(brought))
            return redirect("demonstration_set", project.slug, brought.set.pk)
    context = {"project": project, "form": form, "rejected": rejected}
    status = 400 if rejected or form.errors else 200
    return render(request, "annotate/demonstrations_upload.html", context, status=status)


def _told(brought: StoredDemonstrations) -> str:
    said = _("The set “%(name)s” is stored.") if brought.created else _("These are the demonstrations of “%(name)s”.")
    read = _("Read as: %(forms)s.")
    forms = "; ".join(f"{n} × {form.label}" for form, n in sorted(brought.forms.items()))
    return " ".join([said % {"name": brought.set.name}, read % {"forms": forms}])
