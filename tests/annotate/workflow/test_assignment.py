"""Slots: never more than the overlap, never the same pair twice to one person."""

from datetime import timedelta

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from annotate.models import Assignment, AssignmentState, Comparison, Project, User
from annotate.workflow.assignment import current_lease, expire_leases, lease_next
from annotate.workflow.exceptions import GuidelineNotRead, NoGuideline
from annotate.workflow.guidelines import publish, save_draft
from annotate.workflow.projects import create_project
from tests.factories import judge, make_comparisons, make_user

pytestmark = pytest.mark.django_db


def _run_out(assignment: Assignment) -> None:
    Assignment.objects.filter(pk=assignment.pk).update(expires_at=timezone.now() - timedelta(seconds=1))


def test_asking_twice_gives_the_same_card(project: Project, ann: User, comparisons: list[Comparison]) -> None:
    first = lease_next(project=project, annotator=ann)
    assert first is not None
    assert lease_next(project=project, annotator=ann) == first
    assert current_lease(project, ann) == first


def test_a_comparison_stops_being_offered_at_its_overlap(
    project: Project, ann: User, ben: User, reviewer: User
) -> None:
    make_comparisons(project, 1)
    assert lease_next(project=project, annotator=ann)
    assert lease_next(project=project, annotator=ben)
    assert lease_next(project=project, annotator=reviewer) is None


def test_nobody_gets_the_same_pair_twice(project: Project, ann: User, comparisons: list[Comparison]) -> None:
    seen = [judge(project, ann, "a").comparison_id for _ in comparisons]
    assert sorted(seen) == sorted(c.pk for c in comparisons)
    assert lease_next(project=project, annotator=ann) is None


def test_a_lease_that_ran_out_goes_to_somebody_else(project: Project, ann: User, ben: User, reviewer: User) -> None:
    make_comparisons(project, 1)
    kept = lease_next(project=project, annotator=ann)
    lost = lease_next(project=project, annotator=ben)
    assert kept and lost
    _run_out(lost)
    taken = lease_next(project=project, annotator=reviewer)
    assert taken and taken.comparison_id == lost.comparison_id and taken.slot == lost.slot
    lost.refresh_from_db()
    assert (lost.state, lost.slot) == (AssignmentState.EXPIRED, None)


def test_who_let_a_lease_run_out_may_get_the_pair_again(project: Project, ann: User) -> None:
    make_comparisons(project, 1)
    lost = lease_next(project=project, annotator=ann)
    assert lost
    _run_out(lost)
    again = lease_next(project=project, annotator=ann)
    assert again and again.pk == lost.pk and again.state == AssignmentState.LEASED


def test_the_periodic_task_frees_every_overdue_lease(project: Project, ann: User, ben: User, comparisons: list) -> None:
    leases = [lease_next(project=project, annotator=person) for person in (ann, ben)]
    for lease in leases:
        assert lease
        _run_out(lease)
    assert expire_leases() == 2
    assert expire_leases() == 0
    assert set(Comparison.objects.values_list("taken", flat=True)) == {0}


def test_the_database_refuses_a_slot_beyond_the_overlap(project: Project, ann: User) -> None:
    [comparison] = make_comparisons(project, 1)
    with pytest.raises(IntegrityError), transaction.atomic():
        Comparison.objects.filter(pk=comparison.pk).update(taken=3)


def test_the_side_is_drawn_per_assignment(project: Project, ann: User) -> None:
    make_comparisons(project, 40)
    for _ in range(40):
        judge(project, ann, "tie")
    sides = set(Assignment.objects.values_list("flipped", flat=True))
    assert sides == {True, False}


def test_nothing_is_leased_without_a_guideline(lead: User) -> None:
    bare = create_project(slug="bare", name="Bare", manager=lead)
    with pytest.raises(NoGuideline):
        lease_next(project=bare, annotator=lead)


def test_a_new_version_is_shown_before_the_next_card(
    project: Project, lead: User, ann: User, comparisons: list
) -> None:
    old = lease_next(project=project, annotator=ann)
    assert old
    save_draft(project=project, body="Prefer the shorter response.", actor=lead)
    version = publish(project=project, summary="Shorter is better now", actor=lead)
    with pytest.raises(GuidelineNotRead):
        lease_next(project=project, annotator=ann)
    version.readings.create(user=ann)
    renewed = lease_next(project=project, annotator=ann)
    assert renewed and renewed.pk == old.pk and renewed.guideline_version == version


def test_projects_do_not_share_their_queues(project: Project, lead: User, ann: User, comparisons: list) -> None:
    other = create_project(slug="other", name="Other", manager=lead, guideline="x", summary="x")
    other.guideline_versions.get().readings.create(user=ann)
    assert lease_next(project=other, annotator=ann) is None


def test_a_late_joiner_still_finds_open_slots(project: Project, ann: User, comparisons: list) -> None:
    for _ in comparisons:
        judge(project, ann, "b")
    cara = make_user("cara")
    assert judge(project, cara, "a").comparison_id in {c.pk for c in comparisons}


def test_a_pair_that_comes_again_stands_as_it_stood(project: Project, ann: User) -> None:
    """A late answer may still come for what was on the screen the first time, and it says “left” or “right”."""
    make_comparisons(project, 1)
    sides = set()
    for _ in range(20):
        lease = lease_next(project=project, annotator=ann)
        assert lease
        sides.add((lease.pk, lease.flipped))
        _run_out(lease)
        expire_leases()
    assert len(sides) == 1
