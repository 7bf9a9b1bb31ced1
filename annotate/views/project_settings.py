"""Name, overlap, lease and degrees of preference of a project."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_http_methods

from annotate.access import require_role
from annotate.forms import ProjectSettingsForm
from annotate.models import Project, Role
from annotate.workflow.projects import change_settings


@require_http_methods(["GET", "POST"])
@require_role(Role.MANAGER)
def edit_settings(request: HttpRequest, project: Project) -> HttpResponse:
    """The overlap of comparisons that exist changes as well, as far down as what they hold already."""
    form = ProjectSettingsForm(request.POST or None, instance=project)
    if request.method == "POST" and form.is_valid():
        changed = change_settings(project=project, **{name: form.cleaned_data[name] for name in form.changed_data})
        said = ngettext(
            "Saved. The overlap of %(n)s comparison was changed.",
            "Saved. The overlap of %(n)s comparisons was changed.",
            changed,
        )
        messages.success(request, said % {"n": changed} if changed else _("Saved."))
        return redirect("project_settings", project.slug)
    context = {"form": form, "project": project}
    return render(request, "annotate/project_settings.html", context, status=400 if form.errors else 200)
