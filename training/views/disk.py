"""The buttons under "Disk use": what is freed, and how much it was."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.defaultfilters import filesizeformat
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from annotate.access import require_role
from annotate.models import Project, Role
from training.workflow.disk_use import forget, free


@require_POST
@require_role(Role.MANAGER)
def free_disk(request: HttpRequest, project: Project) -> HttpResponse:
    """`what` names one of the things that can be freed; without it the sizes are measured anew."""
    if what := request.POST.get("what", ""):
        size = filesizeformat(free(project, what, actor=request.user))
        messages.success(request, _("%(size)s are free again.") % {"size": size}, extra_tags="ok")
    else:
        forget(project)
    return redirect("models", project.slug)
