"""Adjudication: a final word is stored once, superseded and never lost; votes are counted with the judgments."""

import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import IntegrityError, connections, transaction
from django.db.models import F

from annotate.models import Adjudication, BadReason, Comparison, Project, SkipReason, User, Verdict
from annotate.workflow.adjudication import adjudicate, draw_flipped, undo_last_adjudication
from annotate.workflow.assignment import lease_next
from annotate.workflow.exceptions import (
    AlreadyAnswered,
    DecidedMeanwhile,
    GuidelineNotRead,
    NothingToAdjudicate,
    NothingToUndo,
    ReasonNeeded,
)
from annotate.workflow.guidelines import current_version, mark_read, publish, save_draft
from annotate.workflow.judging import skip, undo_last
from annotate.workflow.progress import progress_of
from tests.factories import judge, judge_all, make_comparisons, take

pytestmark = pytest.mark.django_db


@pytest.fixture
def split(project: Project, comparisons: list[Comparison], ann: User, ben: User) -> list[Comparison]:
    """a against b, a against tie, and three on which both agree."""
    judge_all(project, ann, ["a", "a", "b", "a", "tie"])
    judge_all(project, ben, ["b", "tie", "b", "a", "tie"])
    return list(project.comparisons.order_by("id"))


def decide(comparison: Comparison, who: User, verdict: str = "a", **given: object) -> Adjudication:
    given = {"client_key": uuid.uuid4(), "votes_seen": False, **given}
    return adjudicate(comparison=comparison, adjudicator=who, verdict=Verdict(verdict), **given)


def _votes(comparison: Comparison) -> tuple[int, int, int, int]:
    comparison.refresh_from_db()
    return comparison.judged, comparison.votes_a, comparison.votes_tie, comparison.votes_b


def test_the_votes_are_counted_with_the_judgments_and_go_with_them(
    project: Project, split: list[Comparison], ben: User
) -> None:
    assert [_votes(each) for each in split] == [(2, 1, 0, 1), (2, 1, 1, 0), (2, 0, 0, 2), (2, 2, 0, 0), (2, 0, 2, 0)]
    undo_last(project=project, annotator=ben)
    assert _votes(split[4]) == (1, 0, 1, 0)
    judge(project, ben, "b")
    assert _votes(split[4]) == (2, 0, 1, 1)
    assert [each.disagreement for each in project.comparisons.order_by("id")] == [1, 1, 0, 0, 1]


def test_votes_that_do_not_add_up_are_refused_by_the_database(split: list[Comparison]) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        Comparison.objects.filter(pk=split[0].pk).update(votes_a=F("votes_a") + 1)


def test_how_split_people_are_is_the_share_of_pairs_of_votes_that_differ(project: Project) -> None:
    [one] = make_comparisons(project, 1)
    rows = Comparison.objects.filter(pk=one.pk)
    rows.update(overlap=600, taken=600, judged=600, votes_a=300, votes_tie=200, votes_b=100)
    assert rows.get().disagreement == pytest.approx((300 * 200 + 300 * 100 + 200 * 100) / (600 * 599 / 2))


def test_a_final_word_is_stored_with_who_when_and_under_which_guideline(
    project: Project, split: list[Comparison], reviewer: User
) -> None:
    word = decide(split[0], reviewer, "b", note="B answers the question.", flipped=True)
    assert (word.adjudicator, word.verdict, word.revision, word.votes_seen) == (reviewer, "b", 1, False)
    assert (word.guideline_version, word.note, word.flipped) == (
        current_version(project),
        "B answers the question.",
        True,
    )
    assert [each.is_adjudicated for each in project.comparisons.order_by("id")] == [True, False, False, False, False]


def test_the_same_key_is_the_same_decision(split: list[Comparison], reviewer: User, lead: User) -> None:
    key = uuid.uuid4()
    first = decide(split[0], reviewer, "a", client_key=key)
    assert decide(split[0], reviewer, "b", client_key=key) == first
    assert Adjudication.objects.count() == 1
    for comparison, who in ((split[1], reviewer), (split[0], lead)):
        with pytest.raises(AlreadyAnswered):
            decide(comparison, who, client_key=key)


def test_a_later_word_supersedes_and_the_history_stays(split: list[Comparison], reviewer: User, lead: User) -> None:
    mark_read(version=current_version(split[0].project), user=lead)
    decide(split[0], reviewer, "a")
    second = decide(split[0], lead, "tie", after=1)
    assert second.revision == 2 and second.votes_seen, "the history shows how people answered"
    assert list(split[0].adjudications.values_list("verdict", "is_current")) == [("a", False), ("tie", True)]
    assert Adjudication.objects.current().get() == second


def test_nobody_overwrites_what_they_have_not_seen(split: list[Comparison], reviewer: User) -> None:
    decide(split[0], reviewer, "a", after=0)
    with pytest.raises(DecidedMeanwhile):
        decide(split[0], reviewer, "b", after=0)
    assert Adjudication.objects.current().get().verdict == "a"


def test_undo_takes_back_one_word_after_the_other(split: list[Comparison], reviewer: User, project: Project) -> None:
    decide(split[0], reviewer, "a")
    decide(split[1], reviewer, "bad", reason=BadReason.SAME)
    assert undo_last_adjudication(project=project, adjudicator=reviewer).comparison == split[1]
    assert undo_last_adjudication(project=project, adjudicator=reviewer).comparison == split[0]
    assert not project.comparisons.filter(is_adjudicated=True).exists()
    assert not Adjudication.objects.current().exists()
    with pytest.raises(NothingToUndo):
        undo_last_adjudication(project=project, adjudicator=reviewer)
    assert decide(split[0], reviewer, "b").revision == 3


def test_undo_never_takes_back_somebody_elses_word(
    split: list[Comparison], reviewer: User, lead: User, project: Project
) -> None:
    mark_read(version=current_version(project), user=lead)
    decide(split[0], reviewer, "a")
    decide(split[0], lead, "b")
    with pytest.raises(NothingToUndo, match="Somebody else"):
        undo_last_adjudication(project=project, adjudicator=reviewer)
    assert Adjudication.objects.current().get().adjudicator == lead


def test_a_bad_item_needs_a_reason_and_another_reason_a_note(split: list[Comparison], reviewer: User) -> None:
    for given, where in (({}, "reason"), ({"reason": "no such"}, "reason"), ({"reason": BadReason.OTHER}, "note")):
        with pytest.raises(ReasonNeeded) as refused:
            decide(split[0], reviewer, "bad", **given)
        assert refused.value.where == where
    assert decide(split[0], reviewer, "bad", reason=BadReason.OTHER, note="A test row").reason == "other"
    assert decide(split[0], reviewer, "a", reason=BadReason.SAME).reason == "", "a reason is that of a bad item"


def test_a_word_needs_votes_and_a_withdrawal_a_word(project: Project, split: list[Comparison], reviewer: User) -> None:
    [unjudged] = make_comparisons(project, 1, start=50)
    with pytest.raises(NothingToAdjudicate):
        decide(unjudged, reviewer)
    with pytest.raises(NothingToAdjudicate):
        decide(split[0], reviewer, "withdrawn")


def test_nobody_decides_under_a_guideline_they_have_not_read(
    project: Project, split: list[Comparison], reviewer: User, lead: User
) -> None:
    save_draft(project=project, body="Be brief.", actor=lead)
    publish(project=project, summary="Brief", actor=lead)
    with pytest.raises(GuidelineNotRead):
        decide(split[0], reviewer)
    assert not Adjudication.objects.exists()
    mark_read(version=current_version(project), user=reviewer)
    assert decide(split[0], reviewer).guideline_version.number == 2


def test_the_side_is_drawn_once_for_each_person_and_comparison(split: list[Comparison], reviewer: User) -> None:
    assert all(draw_flipped(each, reviewer) == draw_flipped(each, reviewer) for each in split)
    drawn = [draw_flipped(Comparison(pk=pk), reviewer) for pk in range(400)]
    assert 150 < sum(drawn) < 250


@pytest.mark.django_db(transaction=True)
def test_of_several_who_decide_at_once_one_is_first_and_the_others_are_told(
    project: Project, ann: User, ben: User, reviewer: User
) -> None:
    [one] = make_comparisons(project, 1)
    judge_all(project, ann, ["a"])
    judge_all(project, ben, ["b"])

    def attempt(verdict: str) -> str:
        try:
            return str(decide(one, reviewer, verdict, after=0).verdict)
        except DecidedMeanwhile:
            return "told"
        finally:
            connections.close_all()

    with ThreadPoolExecutor(4) as people:
        said = list(people.map(attempt, ["a", "b", "tie", "a"]))
    assert sorted(said).count("told") == 3
    word = Adjudication.objects.get()
    assert word.is_current and word.revision == 1 and word.verdict in said


def test_what_all_have_skipped_can_be_called_a_bad_item_and_nothing_else(
    project: Project, ann: User, ben: User, reviewer: User
) -> None:
    one, _other = make_comparisons(project, 2)
    with pytest.raises(NothingToAdjudicate):
        decide(one, reviewer, "bad", reason="unclear")
    for person in (ann, ben):
        skip(assignment_id=take(project, person).pk, annotator=person, reason=SkipReason.UNCLEAR)
    with pytest.raises(NothingToAdjudicate, match="judged"):
        decide(one, reviewer, "a")
    decide(one, reviewer, "bad", reason="unclear")
    found = progress_of(project)
    assert (found.comparisons, found.complete, found.judgments, found.wanted) == (2, 1, 0, project.overlap)


def test_a_bad_item_is_given_to_nobody_until_that_is_withdrawn(project: Project, ann: User, reviewer: User) -> None:
    [only] = make_comparisons(project, 1)
    judge(project, ann, "a")
    decide(only, reviewer, "bad", reason="broken")
    assert lease_next(project=project, annotator=reviewer) is None
    found = progress_of(project, reviewer)
    assert (found.complete, found.percent, found.mine_open) == (1, 100, 0)
    decide(only, reviewer, "withdrawn")
    assert progress_of(project, reviewer).mine_open == 1
    assert take(project, reviewer).comparison == only
