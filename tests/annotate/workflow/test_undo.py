"""Undo of the answer that is meant: sent twice, by whichever door, it takes back one."""

import re
from typing import Any

import pytest
from django.test import Client
from rest_framework.test import APIClient

from annotate.models import Assignment, AssignmentState, Comparison, Judgment, Project, SkipReason, User
from annotate.workflow.assignment import lease_next
from annotate.workflow.exceptions import NothingToUndo, NotYourAssignment
from annotate.workflow.guidelines import mark_read, publish
from annotate.workflow.judging import skip, undo_last
from tests.factories import judge, make_comparisons, take

pytestmark = pytest.mark.django_db
UNDO = "/api/v1/projects/garden/undo/"
FIELD = re.compile(r'name="(assignment_id|revision)" value="(\d+)"')


@pytest.fixture
def two(project: Project, comparisons: list[Comparison], ann: User) -> list[Judgment]:
    """Of five comparisons two are answered."""
    return [judge(project, ann, "a"), judge(project, ann, "b")]


def _meant(judgment: Judgment) -> dict[str, int]:
    return {"assignment_id": judgment.assignment_id, "revision": judgment.revision}


def _standing() -> list[int]:
    return list(Judgment.objects.current().values_list("pk", flat=True))


def test_an_undo_that_is_sent_again_changes_nothing(project: Project, two: list[Judgment], ann: User) -> None:
    first, last = two
    cards = [undo_last(project=project, annotator=ann, **_meant(last)) for _ in range(2)]
    assert cards[0] == cards[1] == last.assignment
    assert _standing() == [first.pk] and Judgment.objects.count() == 3
    assert sorted(project.comparisons.values_list("judged", flat=True)) == [0, 0, 0, 0, 1]


def test_an_answer_given_anew_outlives_the_undo_of_the_one_before(
    project: Project, two: list[Judgment], ann: User
) -> None:
    last = two[1]
    undo_last(project=project, annotator=ann, **_meant(last))
    anew = judge(project, ann, "tie")
    assert (anew.assignment, anew.revision) == (last.assignment, 3)
    assert undo_last(project=project, annotator=ann, **_meant(last)).state == AssignmentState.JUDGED
    assert _standing() == [two[0].pk, anew.pk]


def test_only_the_last_answer_is_taken_back(project: Project, two: list[Judgment], ann: User, ben: User) -> None:
    with pytest.raises(NothingToUndo, match="another answer since"):
        undo_last(project=project, annotator=ann, **_meant(two[0]))
    with pytest.raises(NothingToUndo, match="no answer"):
        undo_last(project=project, annotator=ann, assignment_id=two[1].assignment_id, revision=2)
    for stranger in (ben, ann):
        card = two[1].assignment_id if stranger == ben else 10**12
        with pytest.raises(NotYourAssignment):
            undo_last(project=project, annotator=stranger, assignment_id=card)
    assert _standing() == [each.pk for each in two]


def test_a_skip_is_meant_by_its_card_alone(project: Project, two: list[Judgment], ann: User) -> None:
    lease = lease_next(project=project, annotator=ann)
    assert lease
    skip(assignment_id=lease.pk, annotator=ann, reason=SkipReason.UNSAFE)
    for _ in range(2):
        assert undo_last(project=project, annotator=ann, assignment_id=lease.pk).state == AssignmentState.LEASED
    assert _standing() == [each.pk for each in two]


def test_what_is_answered_after_an_undo_is_answered_under_the_version_read_last(
    project: Project, two: list[Judgment], ann: User, lead: User
) -> None:
    undo_last(project=project, annotator=ann, **_meant(two[1]))
    assert judge(project, ann, "a").guideline_version.number == 1
    newer = publish(project=project, summary="More", actor=lead, body="Two.")
    assert undo_last(project=project, annotator=ann).guideline_version.number == 1, "nobody has read the newer one"
    mark_read(version=newer, user=ann)
    card = Assignment.objects.leased().get(annotator=ann)
    assert card.guideline_version == newer, "the card that is open is answered under it, too"
    answered = judge(project, ann, "b")
    assert (answered.assignment, answered.guideline_version) == (card, newer)
    mark_read(version=publish(project=project, summary="More", actor=lead, body="Three."), user=ann)
    assert undo_last(project=project, annotator=ann).guideline_version.number == 3
    retracted = Judgment.objects.get(assignment=card, revision=answered.revision + 1)
    assert retracted.guideline_version == newer, "what was taken back is of the version it was given under"


def test_reading_an_older_version_again_changes_no_card(project: Project, ann: User, ben: User, lead: User) -> None:
    make_comparisons(project, 1)
    older = project.guideline_versions.get()
    newer = publish(project=project, summary="More", actor=lead, body="Two.")
    for person in (ann, ben):
        mark_read(version=newer, user=person)
        take(project, person)
    mark_read(version=older, user=ann)
    assert {card.guideline_version for card in Assignment.objects.leased()} == {newer}


def _shown(html: str) -> dict[str, str]:
    return dict(FIELD.findall(html))


def test_the_page_names_the_answer_that_it_would_take_back(
    client: Client, two: list[Judgment], ann: User, ben: User
) -> None:
    client.force_login(ann)
    lease = client.post("/p/garden/judge/next/", headers={"HX-Request": "true"}).content.decode()
    asked = _shown(lease)
    assert asked == {name: str(value) for name, value in _meant(two[1]).items()}
    assert asked == _shown(client.get("/p/garden/judge/").content.decode())
    for _ in range(2):
        back = client.post("/p/garden/judge/undo/", asked, headers={"HX-Request": "true"})
        assert back.status_code == 200 and f'data-assignment="{two[1].assignment_id}"' in back.content.decode()
    assert _standing() == [two[0].pk]
    assert _shown(back.content.decode())["assignment_id"] == str(two[0].assignment_id)
    client.force_login(ben)
    assert "judge/undo/" not in client.get("/p/garden/judge/").content.decode()


def test_what_the_page_cannot_have_sent_is_refused(client: Client, two: list[Judgment], ann: User) -> None:
    client.force_login(ann)
    answer = client.post("/p/garden/judge/undo/", {"assignment_id": "x"}, headers={"HX-Request": "true"})
    assert answer.status_code == 400 and len(_standing()) == 2


def test_the_api_answers_the_same_again_and_takes_a_body_or_none(two: list[Judgment], ann: User) -> None:
    api = APIClient()
    api.force_authenticate(ann)
    asked: dict[str, Any] = {"card": two[1].assignment_id, "revision": 1}
    first, again = (api.post(UNDO, asked, format="json") for _ in range(2))
    assert first.status_code == again.status_code == 200 and first.json() == again.json()
    assert first.json()["id"] == two[1].assignment_id and _standing() == [two[0].pk]
    assert api.post(UNDO, {"assignment": 1}, format="json").status_code == 400
    assert api.post(UNDO, {"card": 10**30}, format="json").status_code in (400, 404)
    assert api.post(UNDO).json()["id"] == two[0].assignment_id
    assert api.post(UNDO).status_code == 409
    assert _standing() == [] and Assignment.objects.leased().count() == 2
