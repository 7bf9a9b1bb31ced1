"""Degrees of preference: a card asks as the project asked when it was leased, and no answer to it is lost."""

import uuid
from datetime import timedelta

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from annotate.models import Assignment, Choice, Comparison, Degree, Degrees, Judgment, Project, SkipReason, User
from annotate.workflow.assignment import expire_leases, lease_next
from annotate.workflow.exceptions import WrongDegree
from annotate.workflow.judging import skip, submit_judgment, undo_last
from tests.factories import judge

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _asked(project: Project, comparisons: list[Comparison]) -> None:
    _ask(project, Degrees.THREE)


def _ask(project: Project, degrees: int) -> None:
    project.degrees = degrees
    project.save()


def _lease(project: Project, person: User) -> Assignment:
    leased = lease_next(project=project, annotator=person)
    assert leased is not None
    return leased


def _submit(
    assignment: Assignment, person: User, side: str, degree: int | None, key: uuid.UUID | None = None
) -> Judgment:
    return submit_judgment(
        assignment_id=assignment.pk, annotator=person, side=side, degree=degree, client_key=key or uuid.uuid4()
    )


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("degree", Degree.values)
def test_a_side_is_stored_with_its_degree(project: Project, ann: User, side: str, degree: int) -> None:
    judgment = _submit(_lease(project, ann), ann, side, degree)
    judgment.refresh_from_db()
    assert judgment.degree == degree and judgment.choice in ("a", "b")


@pytest.mark.parametrize(
    ("degrees", "side", "degree", "said"),
    [
        (Degrees.THREE, "left", None, "asks by how much"),
        (Degrees.THREE, "tie", 1, "A tie has no degree"),
        (Degrees.TWO, "right", Degree.BETTER, "asks by how much"),
        (Degrees.ONE, "right", Degree.MUCH, "asks only which"),
        (Degrees.ONE, "tie", 1, "A tie has no degree"),
    ],
)
def test_what_the_card_does_not_ask_is_refused_and_nothing_is_stored(
    project: Project, ann: User, degrees: int, side: str, degree: int | None, said: str
) -> None:
    _ask(project, degrees)
    lease = _lease(project, ann)
    with pytest.raises(WrongDegree, match=said) as refused:
        _submit(lease, ann, side, degree)
    assert refused.value.where == "degree"
    lease.refresh_from_db()
    lease.comparison.refresh_from_db()
    assert (lease.state, lease.comparison.judged) == ("leased", 0)
    assert not Judgment.objects.exists()
    _submit(lease, ann, "tie", None)


@pytest.mark.parametrize(("before", "after", "degree"), [(1, 3, None), (3, 1, 2), (2, 3, 3), (3, 2, 2)])
def test_an_answer_that_waited_while_the_setting_changed_is_kept_as_it_was_given(
    project: Project, ann: User, before: int, after: int, degree: int | None
) -> None:
    """In time, and also after its lease ran out and the card was leased to the same person again."""
    _ask(project, before)
    first, key = _lease(project, ann), uuid.uuid4()
    _ask(project, after)
    assert _submit(first, ann, "left", degree, key).degree == degree
    assert _submit(first, ann, "left", degree, key).pk == Judgment.objects.get().pk, "sent twice"
    second = _lease(project, ann)
    assert second.degrees == after
    _ask(project, before)
    Assignment.objects.filter(pk=second.pk).update(expires_at=timezone.now() - timedelta(minutes=1))
    expire_leases()
    assert _lease(project, ann).pk == second.pk
    second.refresh_from_db()
    assert second.degrees == after, "as it was shown first"


def test_a_late_answer_brings_its_degree(project: Project, ann: User) -> None:
    lease = _lease(project, ann)
    expire_leases(now=timezone.now() + timedelta(days=1))
    Comparison.objects.filter(pk=lease.comparison_id).update(overlap=1, taken=1)
    judgment = _submit(lease, ann, "left", Degree.MUCH)
    assert (judgment.degree, judgment.is_surplus) == (Degree.MUCH, True)


def test_undo_keeps_what_was_said_and_asks_as_the_card_asked(project: Project, ann: User) -> None:
    said = judge(project, ann, "a", Degree.SLIGHTLY)
    _ask(project, Degrees.ONE)
    card = undo_last(project=project, annotator=ann)
    assert card.asked == list(Degree)
    assert list(card.judgments.values_list("choice", "degree")) == [("a", Degree.SLIGHTLY), (None, None)]
    again = submit_judgment(
        assignment_id=card.pk, annotator=ann, client_key=said.client_key, choice=Choice.A, degree=Degree.SLIGHTLY
    )
    assert again == said
    assert _submit(card, ann, "right", Degree.MUCH).degree == Degree.MUCH


def test_an_answer_in_the_outbox_outlives_a_skip_that_is_undone_under_another_setting(
    project: Project, ann: User
) -> None:
    card = _lease(project, ann)
    skip(assignment_id=card.pk, annotator=ann, reason=SkipReason.UNCLEAR)
    _ask(project, Degrees.ONE)
    undo_last(project=project, annotator=ann)
    assert _submit(card, ann, "left", Degree.MUCH).degree == Degree.MUCH


def test_the_database_holds_that_only_a_side_has_a_degree(project: Project, ann: User) -> None:
    judgment = judge(project, ann, "a", Degree.BETTER)
    for fields in ({"choice": "tie"}, {"choice": None}, {"degree": 4}, {"degree": 0}):
        with pytest.raises(IntegrityError), transaction.atomic():
            Judgment.objects.filter(pk=judgment.pk).update(**fields)
    Judgment.objects.filter(pk=judgment.pk).update(choice="tie", degree=None)
