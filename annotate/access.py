"""The one door through which a project or an object in it reaches a view: role and object permission."""

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import PermissionDenied
from django.db.models import Model, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.utils.translation import gettext as _

from annotate.models import Membership, Project, Role, User
from annotate.workflow.exceptions import NoSuchRow

View = Callable[..., HttpResponse]
Row = TypeVar("Row", bound=Model)


def projects_of(user: User) -> QuerySet[Project]:
    """The projects whose existence this person may know of."""
    return Project.objects.of_member(user)


def role_in(user: User | AnonymousUser, project: Project) -> Role | None:
    """The person's role; None for a stranger. A superuser is a manager everywhere."""
    if not user.is_authenticated:
        return None
    if user.is_superuser:
        return Role.MANAGER
    membership = Membership.objects.filter(project=project, user=user).first()
    return Role(membership.role) if membership else None


def project_for(user: User, slug: str, needed: Role = Role.ANNOTATOR) -> tuple[Project, Role]:
    """The project and the person's role in it.

    Raises:
        Http404: no such project, or a stranger: the two cannot be told apart.
        PermissionDenied: a member whose role does not allow it.
    """
    membership = Membership.objects.filter(project__slug=slug, user=user.pk).select_related("project").first()
    if user.is_superuser:
        project, role = membership.project if membership else get_object_or_404(Project, slug=slug), Role.MANAGER
    elif membership:
        project, role = membership.project, Role(membership.role)
    else:
        raise Http404
    if not role.allows(needed):
        raise PermissionDenied(_("This needs the role “%(role)s” in the project.") % {"role": needed.label})
    return project, role


def require_role(needed: Role) -> Callable[[View], View]:
    """A view of `(request, slug, ...)` gets `(request, project, ...)`; `request.role` is set."""

    def decorate(view: View) -> View:
        @wraps(view)
        @login_required
        def guarded(request: HttpRequest, slug: str, *args: Any, **kwargs: Any) -> HttpResponse:
            project, role = project_for(request.user, slug, needed)  # type: ignore[arg-type]
            request.project, request.role = project, role  # type: ignore[attr-defined]
            return view(request, project, *args, **kwargs)

        return guarded

    return decorate


def in_project(rows: "QuerySet[Row] | type[Row]", project: Project, **lookup: Any) -> Row:
    """The row of this project, or 404: an id of another project's row opens nothing."""
    return get_object_or_404(rows, project=project, **lookup)


def named_in(rows: "QuerySet[Row] | type[Row]", project: Project, field: str, **lookup: Any) -> Row:
    """As `in_project`, for a number that a request names beside its address: the error names the `field`."""
    try:
        return in_project(rows, project, **lookup)
    except Http404 as error:
        number = lookup.get("pk", lookup.get("number"))
        said = _("This project has no %(field)s %(number)s.") % {"field": field, "number": number}
        raise NoSuchRow(said, _("Its lists name those that it has."), where=field) from error
