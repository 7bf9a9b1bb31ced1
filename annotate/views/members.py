"""Who is in a project, and in which role."""

from django.contrib import messages
from django.db.models import Count, OuterRef, Q, Subquery
from django.db.models.functions import Coalesce
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST

from annotate.access import in_project, require_role
from annotate.forms import MemberForm, RoleForm
from annotate.models import IMPORTED, Judgment, Membership, Project, Role
from annotate.workflow.projects import remove_member, set_member


@require_http_methods(["GET", "POST"])
@require_role(Role.MANAGER)
def manage_members(request: HttpRequest, project: Project) -> HttpResponse:
    """The list, and adding a person by user name. Annotators known from imports only are counted: nobody signs in."""
    form = MemberForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        user, role = form.cleaned_data["username"], Role(form.cleaned_data["role"])
        if user == request.user:
            form.add_error("username", _("Your own role is changed by another manager."))
        else:
            set_member(project=project, user=user, role=role)
            messages.success(request, _("%(name)s is now %(role)s.") % {"name": user, "role": role.label})
            return redirect("members", project.slug)
    theirs = Judgment.objects.counted().filter(comparison__project=project, annotator=OuterRef("user"))
    counted = theirs.order_by().values("annotator").annotate(n=Count("pk")).values("n")
    rows = project.memberships.select_related("user").annotate(judged=Coalesce(Subquery(counted), 0))
    imported = Q(user__username__startswith=IMPORTED)
    context = {
        "project": project, "form": form, "members": rows.exclude(imported), "roles": Role,
        "imported": project.memberships.filter(imported).count(),
    }  # fmt: skip
    return render(request, "annotate/members.html", context, status=400 if form.errors else 200)


@require_POST
@require_role(Role.MANAGER)
def change_member(request: HttpRequest, project: Project, user_id: int) -> HttpResponse:
    """Another role, or (`action=remove`) out. Not for oneself: a project keeps a manager."""
    member = in_project(Membership.objects.select_related("user"), project, user_id=user_id)
    form = RoleForm(request.POST)
    if member.user == request.user:
        messages.error(request, _("Your own role is changed by another manager."))
    elif request.POST.get("action") == "remove":
        remove_member(project=project, user=member.user)
        messages.success(request, _("%(name)s has left the project; the judgments stay.") % {"name": member.user})
    elif form.is_valid():
        set_member(project=project, user=member.user, role=Role(form.cleaned_data["role"]))
        label = Role(form.cleaned_data["role"]).label
        messages.success(request, _("%(name)s is now %(role)s.") % {"name": member.user, "role": label})
    return redirect("members", project.slug)
