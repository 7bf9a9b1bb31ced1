"""The first page: my projects and what is left to do in them; new projects."""

from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.db import IntegrityError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_safe

from annotate.access import projects_of
from annotate.forms import ProjectForm
from annotate.models import Membership, Role
from annotate.views.sent_once import sent_once
from annotate.workflow.progress import progress_of
from annotate.workflow.projects import create_project as create

# A person in more projects than this sees names and roles of the others, without the count.
COUNTED = 30


@require_safe
@login_required
def show_home(request: HttpRequest) -> HttpResponse:
    roles = {m.project_id: Role(m.role) for m in Membership.objects.filter(user=request.user)}
    rows = [
        {
            "project": project,
            "role": roles.get(project.pk, Role.MANAGER),
            "progress": progress_of(project, request.user) if index < COUNTED else None,
        }
        for index, project in enumerate(projects_of(request.user))
    ]
    return render(request, "annotate/home.html", {"rows": rows})


@require_http_methods(["GET", "POST"])
@login_required
@sent_once()
def create_project(request: HttpRequest) -> HttpResponse:
    """Staff only: who may make accounts may make projects."""
    if not request.user.is_staff:
        raise PermissionDenied
    form = ProjectForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            project = create(manager=request.user, **form.cleaned_data)
            return redirect("project_overview", project.slug)
        except IntegrityError:
            # Somebody took the short name, or this form was sent twice, since it was checked: it finds that now.
            form.full_clean()
            if form.is_valid():
                raise
    return TemplateResponse(request, "annotate/project_create.html", {"form": form, "title": _("New project")})
