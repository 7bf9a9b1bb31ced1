"""Projects and their members: made and changed in one place."""

from typing import Any

from django.db import transaction
from django.db.models import F, Value
from django.db.models.functions import Greatest

from annotate.models import Degrees, Membership, Project, Role, User
from annotate.workflow.guidelines import publish, save_draft


@transaction.atomic
def create_project(
    *,
    slug: str,
    name: str,
    manager: User,
    description: str = "",
    overlap: int = 2,
    degrees: int = Degrees.ONE,
    guideline: str = "",
    summary: str = "",
) -> Project:
    """A project with its manager and, when a guideline is given, its first published version."""
    project = Project.objects.create(slug=slug, name=name, description=description, overlap=overlap, degrees=degrees)
    set_member(project=project, user=manager, role=Role.MANAGER)
    if guideline:
        save_draft(project=project, body=guideline, actor=manager)
        publish(project=project, summary=summary, actor=manager)
    return project


def set_member(*, project: Project, user: User, role: Role) -> Membership:
    """Add a person or change their role."""
    membership, _created = Membership.objects.update_or_create(project=project, user=user, defaults={"role": role})
    return membership


def remove_member(*, project: Project, user: User) -> bool:
    """The person loses access; what they judged stays. False when they were no member."""
    deleted, _rows = Membership.objects.filter(project=project, user=user).delete()
    return bool(deleted)


@transaction.atomic
def change_settings(*, project: Project, overlap: int | None = None, **changed: Any) -> int:
    """Set what is given, and leave the rest to whoever changes that at the same moment; returns how many comparisons
    changed their overlap."""
    if changed:
        Project.objects.filter(pk=project.pk).update(**changed)
    return 0 if overlap is None else change_overlap(project=project, overlap=overlap)


def change_overlap(*, project: Project, overlap: int) -> int:
    """Set the overlap of the project and of its comparisons; returns how many comparisons changed.

    A comparison that holds more leases and judgments than the new overlap already gets their number: none of them is
    lost, and none comes on top, also when a lease is given back (`free_slot`).
    """
    with transaction.atomic():
        # The project before its comparisons: this takes the lock that an import holds while it locks them.
        project.overlap = overlap
        project.save(update_fields=["overlap"])
        reachable = project.comparisons.annotate(reachable=Greatest("taken", Value(overlap)))
        return reachable.exclude(overlap=F("reachable")).update(overlap=F("reachable"))
