"""Submit, skip and undo: idempotent, append-only, surplus kept."""

import uuid
from datetime import timedelta

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from annotate.models import Assignment, AssignmentState, Choice, Comparison, Judgment, Project, SkipReason, User
from annotate.workflow.assignment import expire_leases, lease_next
from annotate.workflow.exceptions import AlreadyAnswered, NothingToUndo, NotYourAssignment
from annotate.workflow.judging import skip, submit_judgment, undo_last
from annotate.workflow.progress import progress_of
from tests.factories import judge, make_comparisons

pytestmark = pytest.mark.django_db


def _submit(assignment: Assignment, person: User, choice: str = "a", key: uuid.UUID | None = None) -> Judgment:
    return submit_judgment(
        assignment_id=assignment.pk, annotator=person, choice=Choice(choice), client_key=key or uuid.uuid4()
    )


def _lease(project: Project, person: User) -> Assignment:
    lease = lease_next(project=project, annotator=person)
    assert lease
    return lease


def test_the_same_client_key_stores_once(project: Project, ann: User, comparisons: list) -> None:
    lease, key = _lease(project, ann), uuid.uuid4()
    first = _submit(lease, ann, "a", key)
    assert _submit(lease, ann, "a", key) == first
    assert Judgment.objects.count() == 1
    assert Comparison.objects.get(pk=lease.comparison_id).judged == 1


def test_a_second_answer_under_another_key_is_refused(project: Project, ann: User, comparisons: list) -> None:
    lease = _lease(project, ann)
    _submit(lease, ann)
    with pytest.raises(AlreadyAnswered):
        _submit(lease, ann, "b")
    assert Judgment.objects.get().choice == Choice.A


def test_a_key_that_came_with_another_card_returns_that_judgment(
    project: Project, ann: User, ben: User, comparisons: list
) -> None:
    key = uuid.uuid4()
    first = _submit(_lease(project, ann), ann, "a", key)
    assert _submit(_lease(project, ann), ann, "b", key) == first
    with pytest.raises(AlreadyAnswered):
        _submit(_lease(project, ben), ben, "b", key)
    assert Judgment.objects.get() == first


def test_what_the_database_refuses_for_another_reason_is_no_known_answer(
    project: Project, ann: User, comparisons: list
) -> None:
    judge(project, ann, "a")
    lease = undo_last(project=project, annotator=ann)
    Assignment.objects.update(revisions=0)
    with pytest.raises(IntegrityError):
        _submit(lease, ann, "b")


def test_nobody_answers_for_somebody_else(project: Project, ann: User, ben: User, comparisons: list) -> None:
    with pytest.raises(NotYourAssignment):
        _submit(_lease(project, ann), ben)


def test_a_judgment_knows_its_guideline_version_and_side(project: Project, ann: User, comparisons: list) -> None:
    lease = _lease(project, ann)
    judgment = _submit(lease, ann)
    assert judgment.guideline_version == project.guideline_versions.get()
    assert judgment.flipped == lease.flipped


def test_a_late_submit_is_counted_while_its_slot_is_free(project: Project, ann: User, comparisons: list) -> None:
    lease = _lease(project, ann)
    Assignment.objects.update(expires_at=timezone.now() - timedelta(minutes=1))
    expire_leases()
    judgment = _submit(lease, ann)
    assert not judgment.is_surplus
    assert Comparison.objects.get(pk=lease.comparison_id).judged == 1


def test_a_late_submit_is_kept_as_surplus(project: Project, ann: User, ben: User, reviewer: User) -> None:
    make_comparisons(project, 1)
    late = _lease(project, ann)
    Assignment.objects.update(expires_at=timezone.now() - timedelta(minutes=1))
    judge(project, ben, "a")
    judge(project, reviewer, "a")
    judgment = _submit(late, ann, "b")
    assert judgment.is_surplus
    assert Judgment.objects.counted().count() == 2
    assert Comparison.objects.get().judged == 2
    late.refresh_from_db()
    assert late.state == AssignmentState.SURPLUS


def test_skipping_frees_the_slot_for_others_only(project: Project, ann: User, ben: User) -> None:
    make_comparisons(project, 1)
    lease = _lease(project, ann)
    skip(assignment_id=lease.pk, annotator=ann, reason=SkipReason.LANGUAGE)
    assert lease_next(project=project, annotator=ann) is None
    assert _lease(project, ben).comparison_id == lease.comparison_id


def test_skipping_twice_gives_the_slot_back_once(project: Project, ann: User, ben: User) -> None:
    make_comparisons(project, 1)
    other = _lease(project, ben)
    lease = _lease(project, ann)
    for _ in range(2):
        skip(assignment_id=lease.pk, annotator=ann, reason=SkipReason.OTHER, note="x")
    assert Comparison.objects.get(pk=other.comparison_id).taken == 1


def test_undo_brings_the_card_back_and_keeps_the_history(project: Project, ann: User, comparisons: list) -> None:
    judgment = judge(project, ann, "a")
    lease = undo_last(project=project, annotator=ann)
    assert lease.comparison_id == judgment.comparison_id and lease.state == AssignmentState.LEASED
    assert Judgment.objects.current().count() == 0
    assert Comparison.objects.get(pk=judgment.comparison_id).judged == 0
    again = judge(project, ann, "b")
    assert again.comparison_id == judgment.comparison_id
    history = Judgment.objects.filter(assignment=lease).order_by("revision")
    assert [j.choice for j in history] == ["a", None, "b"]
    assert [j.is_current for j in history] == [False, False, True]


def test_an_answer_is_stored_after_undo_and_a_lease_that_ran_out(project: Project, ann: User) -> None:
    make_comparisons(project, 1)
    judge(project, ann, "a")
    undone = undo_last(project=project, annotator=ann)
    expire_leases(timezone.now() + timedelta(days=1))
    assert _lease(project, ann).pk == undone.pk
    assert judge(project, ann, "b").revision == 3
    assert list(Judgment.objects.values_list("choice", "is_current")) == [("a", False), (None, False), ("b", True)]


def test_undo_of_a_skip(project: Project, ann: User) -> None:
    make_comparisons(project, 1)
    lease = _lease(project, ann)
    skip(assignment_id=lease.pk, annotator=ann, reason=SkipReason.UNSAFE)
    assert undo_last(project=project, annotator=ann).pk == lease.pk
    assert judge(project, ann, "tie").comparison_id == lease.comparison_id


def test_a_skip_whose_slots_have_gone_cannot_be_undone(project: Project, ann: User, ben: User, reviewer: User) -> None:
    make_comparisons(project, 1)
    skip(assignment_id=_lease(project, ann).pk, annotator=ann, reason=SkipReason.UNCLEAR)
    judge(project, ben, "a")
    judge(project, reviewer, "a")
    with pytest.raises(NothingToUndo):
        undo_last(project=project, annotator=ann)


def test_undo_without_an_answer(project: Project, ann: User, comparisons: list) -> None:
    with pytest.raises(NothingToUndo):
        undo_last(project=project, annotator=ann)


def test_the_database_refuses_two_current_judgments(project: Project, ann: User, comparisons: list) -> None:
    judgment = judge(project, ann, "a")
    judgment.pk, judgment.client_key, judgment.revision = None, uuid.uuid4(), 2
    with pytest.raises(IntegrityError), transaction.atomic():
        judgment.save(force_insert=True)


def test_progress_counts_mine_and_everybodys(project: Project, ann: User, ben: User, comparisons: list) -> None:
    judge(project, ann, "a")
    judge(project, ben, "b")
    skip(assignment_id=_lease(project, ann).pk, annotator=ann, reason=SkipReason.OTHER)
    progress = progress_of(project, ann)
    assert (progress.judgments, progress.wanted, progress.complete) == (2, 10, 1)
    assert (progress.mine_judged, progress.mine_skipped, progress.mine_open) == (1, 1, 3)
