"""Deleting a model: first everything that depends on it, then the button."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.template.defaultfilters import filesizeformat
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from annotate.access import in_project, require_role
from annotate.models import Project, Role
from annotate.workflow.exceptions import WorkflowError
from training.models import Artifact
from training.views.problems import tell
from training.workflow.deletion import delete_artifact, dependents_of
from training.workflow.folders import own_folder


@require_http_methods(["GET", "HEAD", "POST"])
@require_role(Role.MANAGER)
def delete_model(request: HttpRequest, project: Project, artifact_id: int) -> HttpResponse:
    artifact = in_project(Artifact.objects.select_related("run__round"), project, pk=artifact_id)
    if request.method == "POST":
        try:
            freed = delete_artifact(artifact, actor=request.user)
        except WorkflowError as error:
            tell(request, error)
            return redirect("model_delete", project.slug, artifact.pk)
        facts = {"name": artifact, "size": filesizeformat(freed)}
        messages.success(request, _("“%(name)s” is deleted; %(size)s are free again.") % facts, extra_tags="ok")
        return redirect("models", project.slug)
    context = {"artifact": artifact, "dependents": dependents_of(artifact), "folder": own_folder(artifact)}
    return render(request, "training/model_delete.html", context)
