"""Assignment: who gets which comparison next; slots are claimed in one transaction (invariants 1-3).

Locks are taken in one order, here and in every verb: the project, its comparisons, then their assignments. Who locks
several comparisons holds the project's lock or waits for none but the first of them. So no two verbs wait for each
other.
"""

import secrets
from datetime import datetime, timedelta
from typing import Any

from django.db import IntegrityError, connection, transaction
from django.db.models import Exists, F, OuterRef, Subquery
from django.db.models.functions import Greatest, Least
from django.utils import timezone
from django.utils.translation import gettext as _

from annotate.models import Assignment, AssignmentState, Comparison, GuidelineVersion, Project, User
from annotate.models.comparison import ComparisonQuerySet
from annotate.models.judging import AssignmentQuerySet
from annotate.workflow.bad_items import IS_BAD
from annotate.workflow.exceptions import GuidelineNotRead, NoGuideline

# Comparisons freed by one claim at most, so that nobody waits for a large clean-up; the periodic task does the rest.
FREED_BY_A_CLAIM = 50
# Each but the first is one that another verb has come before.
CLAIM_ATTEMPTS = 20


class _AnsweredMeanwhile(Exception):
    """A late answer to the card that was to be leased again was stored after the queue had been read."""


def current_lease(project: Project, annotator: User) -> Assignment | None:
    """The card this person has open, if its lease still runs. Reads only."""
    leases = annotator.assignments.leased().filter(comparison__project=project, expires_at__gt=timezone.now())
    return (
        leases.select_related(
            "comparison__prompt", "comparison__response_a", "comparison__response_b", "guideline_version"
        )
        .order_by("-leased_at")
        .first()
    )


def lease_next(*, project: Project, annotator: User) -> Assignment | None:
    """The open card, or a newly claimed one; None when nothing is left for this person.

    On PostgreSQL two tabs of one person may take a card each: both are theirs, and both come up in turn.

    Raises:
        NoGuideline: nothing published yet, so that a judgment could not say under which guideline it was made.
        GuidelineNotRead: the current version must be shown first.
    """
    version = _version_and_lease(project, annotator)
    if version is None:
        raise NoGuideline(
            _("This project has no published guideline yet."), _("A manager publishes one on the page “Guideline”.")
        )
    if not version.is_read:
        raise GuidelineNotRead(_("The guideline has changed."), _("Read what changed, then go on."))
    if version.open_lease and (lease := current_lease(project, annotator)) and _renew(lease, project, version):
        return lease
    return _claim(project, annotator, version) or _claim_after_freeing(project, annotator, version)


def expire_leases(now: datetime | None = None) -> int:
    """Give back the slots of all leases that ran out; returns how many."""
    total = 0
    while True:
        with transaction.atomic():
            freed = _free_overdue(Assignment.objects.all(), now or timezone.now(), 500)
        total += freed
        if not freed:
            return total


def take_slot(comparison: Comparison) -> int | None:
    """Count one more slot of a locked comparison as taken; its number, or None when all are.

    The caller holds the row's lock. The conditional UPDATE and the UNIQUE slot would refuse even if it did not.
    """
    return _free_number(comparison) if _count_slot(comparison) else None


def free_slot(comparison_id: int) -> None:
    """The caller holds the row's lock. Where leases kept the overlap above the project's, which had been lowered, it
    follows them down: nobody is asked for more than is wanted now."""
    project = Project.objects.filter(pk=OuterRef("project")).values("overlap")
    Comparison.objects.filter(pk=comparison_id).update(
        taken=F("taken") - 1, overlap=Least(F("overlap"), Greatest(F("taken") - 1, Subquery(project)))
    )


def _count_slot(comparison: Comparison) -> bool:
    return bool(Comparison.objects.filter(pk=comparison.pk, taken__lt=F("overlap")).update(taken=F("taken") + 1))


def _free_number(comparison: Comparison) -> int:
    used = set(comparison.assignments.filter(slot__isnull=False).values_list("slot", flat=True))
    return next(number for number in range(len(used) + 1) if number not in used)


def lease_until(project: Project) -> datetime:
    return timezone.now() + timedelta(minutes=project.lease_minutes)


def _version_and_lease(project: Project, annotator: User) -> GuidelineVersion | None:
    """The current version with `is_read` and `open_lease` (an id) of this person: one query of the busiest page."""
    readings = annotator.guideline_readings.filter(version=OuterRef("pk"))
    leases = annotator.assignments.leased().filter(comparison__project=project, expires_at__gt=timezone.now())
    return project.guideline_versions.annotate(
        is_read=Exists(readings), open_lease=Subquery(leases.values("pk")[:1])
    ).first()


def _claim(project: Project, annotator: User, version: GuidelineVersion) -> Assignment | None:
    """Claim the first open comparison this person has not had; None only if there is none.

    Comparisons that other verbs hold are passed over while there are free ones, and waited for, one by one, when there
    are not: whoever is told that nothing is left goes home. PostgreSQL re-reads a row that another verb has changed,
    but not what was counted beside it; the UNIQUE constraints notice, and the claim is tried again.
    """
    held = None
    for _attempt in range(CLAIM_ATTEMPTS):
        try:
            with transaction.atomic():
                if comparison := _locked_candidate(project, annotator, held):
                    return _lease(comparison, annotator, project, version)
        except (IntegrityError, _AnsweredMeanwhile):
            continue
        held = _held_candidate(project, annotator)
        if held is None:
            return None
    return None


def _claim_after_freeing(project: Project, annotator: User, version: GuidelineVersion) -> Assignment | None:
    """Slots whose lease ran out are given back first when nothing else is left.

    The queue is read again even if there was none: another claim may have given them back since it was read.
    """
    overdue, now = Assignment.objects.filter(comparison__project=project), timezone.now()
    with transaction.atomic():
        freed = _free_overdue(overdue, now, FREED_BY_A_CLAIM)
    if not freed and _rows_are_passed_over():
        _free_a_held_one(overdue, now)
    return _claim(project, annotator, version)


def _free_a_held_one(assignments: AssignmentQuerySet, now: datetime) -> None:
    """If one ran out, all of them are on comparisons that other verbs hold."""
    held = assignments.overdue(now).values_list("comparison", flat=True).first()
    if held is None:
        return
    with transaction.atomic():
        _wait_for(held)
        _free_overdue(assignments.filter(comparison=held), now, 1)


def _candidates(project: Project, annotator: User) -> ComparisonQuerySet:
    return project.comparisons.open().exclude(IS_BAD).unseen_by(annotator).order_by("id")


def _locked_candidate(project: Project, annotator: User, held: int | None) -> Comparison | None:
    """The first in the queue with a free slot that this person has not had; rows other claims hold are skipped.

    With `held` as soon as whoever holds that one is done: the second query then sees what was done. Of many who wait
    for it one gets it, and each of the others the next that is free.
    Carries `last_slot`, the highest slot in use, and `earlier`, the id of this person's lease that ran out.
    """
    used = Assignment.objects.filter(comparison=OuterRef("pk"), slot__isnull=False).order_by("-slot")
    mine = annotator.assignments.filter(comparison=OuterRef("pk"))
    candidates = _candidates(project, annotator).select_related("prompt", "response_a", "response_b")
    candidates = candidates.annotate(
        last_slot=Subquery(used.values("slot")[:1]), earlier=Subquery(mine.values("pk")[:1])
    )
    if held is not None:
        _wait_for(held)
    return candidates.select_for_update(skip_locked=True, of=("self",), no_key=True).first()


def _held_candidate(project: Project, annotator: User) -> int | None:
    """The id of the first in the queue that a claim has passed over, if any."""
    return _candidates(project, annotator).values_list("pk", flat=True).first() if _rows_are_passed_over() else None


def _rows_are_passed_over() -> bool:
    """SQLite has one writer at a time: what a claim does not find there is not held by another one."""
    return connection.features.has_select_for_update_skip_locked


def _wait_for(comparison_id: int) -> None:
    """Lock the row as soon as whoever holds it is done; the caller holds no other, and waits for none then."""
    Comparison.objects.select_for_update(no_key=True).filter(pk=comparison_id).first()


def _lease(comparison: Comparison, annotator: User, project: Project, version: GuidelineVersion) -> Assignment | None:
    if not _count_slot(comparison):
        return None
    following = 0 if comparison.last_slot is None else comparison.last_slot + 1
    held = {
        "state": AssignmentState.LEASED,
        "slot": following if following < comparison.overlap else _free_number(comparison),
        "guideline_version": version,
        "leased_at": timezone.now(),
        "expires_at": lease_until(project),
    }
    if comparison.earlier:
        return _lease_again(comparison, held)
    shown = {"flipped": bool(secrets.randbits(1)), "degrees": project.degrees}
    return Assignment.objects.create(comparison=comparison, annotator=annotator, **shown, **held)


def _lease_again(comparison: Comparison, held: dict[str, Any]) -> Assignment:
    """Sides and degrees stay as they were: an answer in the screen's terms may still come for what was shown before.

    So do the revisions, which an answer that was taken back has left.
    """
    assignment = Assignment.objects.filter(pk=comparison.earlier, state=AssignmentState.EXPIRED).first()
    if assignment is None:
        raise _AnsweredMeanwhile
    assignment.comparison = comparison
    for name, value in held.items():
        setattr(assignment, name, value)
    assignment.save(update_fields=[*held, "updated_at"])
    return assignment


def _renew(lease: Assignment, project: Project, version: GuidelineVersion) -> bool:
    """Shown again: the lease runs from now, and the judgment will be made under the version that is current now. False
    if it was answered in another tab, or given back, since it was read."""
    lease.expires_at, lease.guideline_version = lease_until(project), version
    renewed = {"expires_at": lease.expires_at, "guideline_version": version, "updated_at": timezone.now()}
    return bool(Assignment.objects.leased().filter(pk=lease.pk).update(**renewed))


def _free_overdue(assignments: AssignmentQuerySet, now: datetime, limit: int) -> int:
    """Of at most `limit` comparisons; those that another verb holds are left for the next time."""
    comparisons = Comparison.objects.filter(pk__in=assignments.overdue(now).values("comparison")).order_by("id")
    locked = list(comparisons.select_for_update(skip_locked=True, no_key=True).values_list("pk", flat=True)[:limit])
    overdue = list(assignments.overdue(now).filter(comparison__in=locked).select_for_update(of=("self",)))
    for assignment in overdue:
        assignment.state, assignment.slot = AssignmentState.EXPIRED, None
        assignment.save(update_fields=["state", "slot", "updated_at"])
        free_slot(assignment.comparison_id)
    return len(overdue)
