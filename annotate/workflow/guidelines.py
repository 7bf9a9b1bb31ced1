"""The guideline: draft, publish, read, compare. A published version never changes."""

import difflib
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from django.db import transaction
from django.utils.translation import gettext as _

from annotate.models import Assignment, GuidelineDraft, GuidelineReading, GuidelineVersion, Project, User
from annotate.workflow.exceptions import EmptyGuideline

# A second or two at worst; a text of 100,000 characters in lines of 80 has a fifth of it.
MOST_STEPS = 50_000_000


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
def publish(*, project: Project, summary: str, actor: User | None, body: str | None = None) -> GuidelineVersion:
    """Freeze the draft as the next version; a `body` becomes the draft first, whatever else is saved.

    Raises:
        EmptyGuideline: no draft text, no change against the current version, or (from version 2 on) no summary.
    """
    # The lock on the project serialises two managers who publish at once; `no_key`, so that a first draft, which refers
    # to it, never waits for us while we wait for the draft.
    Project.objects.select_for_update(no_key=True).get(pk=project.pk)
    if body is None:
        draft = GuidelineDraft.objects.filter(project=project).first()
    else:
        draft = save_draft(project=project, body=body, actor=actor)
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
    """From now on this person's open cards are answered under it, too, whether or not they are asked for again."""
    GuidelineReading.objects.get_or_create(version=version, user=user)
    leases = user.assignments.leased().filter(comparison__project=version.project_id)
    # One by one: a statement that locks several could wait for a verb that waits for one of them.
    for lease in leases.filter(guideline_version__number__lt=version.number).values_list("pk", flat=True):
        Assignment.objects.leased().filter(pk=lease).update(guideline_version=version)


@lru_cache(maxsize=32)
def difference(older: str, newer: str) -> tuple[DiffLine, ...] | None:
    """Line by line, everything kept in place, so that the new text can be read as a whole. None where comparing would
    take too long; kept, since every annotator asks for the same one."""
    before, after = older.splitlines(), newer.splitlines()
    if before == after:
        return tuple(DiffLine("same", line) for line in before)
    if _most_steps(before, after) > MOST_STEPS:
        return None
    lines: list[DiffLine] = []
    matcher = difflib.SequenceMatcher(_is_blank, before, after, autojunk=False)
    for tag, start, end, new_start, new_end in matcher.get_opcodes():
        if tag == "equal":
            lines += [DiffLine("same", line) for line in before[start:end]]
            continue
        lines += [DiffLine("removed", line) for line in before[start:end]]
        lines += [DiffLine("added", line) for line in after[new_start:new_end]]
    return tuple(lines)


def _is_blank(line: str) -> bool:
    """Alike everywhere, so nothing to find a passage by; the matcher grows a match over them."""
    return not line.strip()


def _most_steps(before: list[str], after: list[str]) -> int:
    """Of the matcher: for every passage that it may find it looks once at the lines and at the pairs of equal ones."""
    mine, theirs, lines = Counter(before), Counter(after), len(before) + len(after)
    pairs = sum(n * theirs[line] for line, n in mine.items() if not _is_blank(line))
    return (lines + pairs) * lines
