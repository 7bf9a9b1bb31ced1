"""The guideline: draft, publish, read, compare. A published version never changes."""

import difflib
from dataclasses import dataclass
from typing import Literal

from django.db import transaction
from django.utils.translation import gettext as _

from annotate.models import GuidelineDraft, GuidelineReading, GuidelineVersion, Project, User
from annotate.workflow.exceptions import EmptyGuideline


@dataclass(frozen=True)
class DiffLine:
    kind: Literal["same", "added", "removed"]
    text: str


def current_version(project: Project) -> GuidelineVersion | None:
    """The version that new judgments are made under."""
    return project.guideline_versions.first()


def save_draft(*, project: Project, body: str, actor: User | None) -> GuidelineDraft:
    draft, _created = GuidelineDraft.objects.update_or_create(
        project=project, defaults={"body": body.replace("\r\n", "\n"), "edited_by": actor}
    )
    return draft


@transaction.atomic
def publish(*, project: Project, summary: str, actor: User | None) -> GuidelineVersion:
    """Freeze the draft as the next version.

    Raises:
        EmptyGuideline: no draft text, no change against the current version, or (from version 2 on) no summary.
    """
    # The lock on the project serialises two managers who publish at once.
    Project.objects.select_for_update().get(pk=project.pk)
    draft = GuidelineDraft.objects.filter(project=project).first()
    latest = current_version(project)
    if draft is None or not draft.body.strip():
        raise EmptyGuideline(
            _("The draft of the guideline is empty."), _("Write the guideline, save it, and publish it then.")
        )
    if latest and latest.body == draft.body:
        raise EmptyGuideline(
            _("The draft is the same as version %(n)s.") % {"n": latest.number}, _("Change the draft first.")
        )
    if latest and not summary.strip():
        raise EmptyGuideline(
            _("A new version needs a summary of what changed."), _("Annotators read it before their next comparison.")
        )
    return GuidelineVersion.objects.create(
        project=project,
        number=latest.number + 1 if latest else 1,
        body=draft.body,
        summary=summary.strip() or _("First version"),
        published_by=actor,
    )


def unread_version(project: Project, user: User) -> GuidelineVersion | None:
    """The current version, if this person has not been shown it."""
    version = current_version(project)
    if version is None or version.readings.filter(user=user).exists():
        return None
    return version


def last_read_version(project: Project, user: User) -> GuidelineVersion | None:
    """What the person knew before; the difference is shown against it."""
    return project.guideline_versions.filter(readings__user=user).first()


def mark_read(*, version: GuidelineVersion, user: User) -> None:
    GuidelineReading.objects.get_or_create(version=version, user=user)


def difference(older: str, newer: str) -> list[DiffLine]:
    """Line by line, everything kept in place, so that the new text can be read as a whole."""
    kinds: dict[str, Literal["same", "added", "removed"]] = {"  ": "same", "+ ": "added", "- ": "removed"}
    compared = difflib.ndiff(older.splitlines(), newer.splitlines())
    return [DiffLine(kinds[line[:2]], line[2:]) for line in compared if line[:2] in kinds]
