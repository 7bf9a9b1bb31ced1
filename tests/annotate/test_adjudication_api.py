"""Disputes and final words over the API: who may, what comes out, the same decision once."""

import uuid

import pytest
from rest_framework.test import APIClient

from annotate.models import Adjudication, Comparison, Project, User
from annotate.workflow.guidelines import publish, save_draft
from tests.factories import judge_all, make_comparisons

pytestmark = pytest.mark.django_db
BASE = "/api/v1/projects/garden/"


def _client(user: User) -> APIClient:
    client = APIClient()
    client.force_authenticate(user)
    return client


@pytest.fixture
def split(project: Project, ann: User, ben: User) -> list[Comparison]:
    made = make_comparisons(project, 3)
    judge_all(project, ann, ["a", "a", "a"])
    judge_all(project, ben, ["b", "tie", "a"])
    return made


def test_only_reviewers_and_managers_come_in(
    project: Project, split: list[Comparison], ann: User, stranger: User
) -> None:
    for user, status in ((ann, 403), (stranger, 404)):
        assert _client(user).get(BASE + "disputes/").status_code == status
        assert _client(user).get(BASE + "adjudications/").status_code == status
        given = {"comparison": split[0].pk, "verdict": "a"}
        assert _client(user).post(BASE + "adjudications/", given, format="json").status_code == status
    assert not Adjudication.objects.exists()


def test_disputes_carry_votes_and_no_model(reviewer: User, split: list[Comparison]) -> None:
    found = _client(reviewer).get(BASE + "disputes/").json()
    assert [row["id"] for row in found["results"]] == [split[0].pk, split[1].pk]
    row = found["results"][0]
    assert (row["votes_a"], row["votes_tie"], row["votes_b"], row["disagreement"]) == (1, 0, 1, 1.0)
    assert {vote["annotator"] for vote in row["judgments"]} == {"ann", "ben"}
    assert row["adjudication"] is None and "model" not in str(row)
    assert _client(reviewer).get(BASE + "disputes/?tag=none").json()["count"] == 0
    assert _client(reviewer).get(BASE + "disputes/?state=odd").json()["field"] == "state"


def test_a_decision_is_stored_once_and_listed(reviewer: User, split: list[Comparison]) -> None:
    client = _client(reviewer)
    given = {"comparison": split[0].pk, "verdict": "b", "note": "true", "client_key": str(uuid.uuid4())}
    for _ in range(2):
        response = client.post(BASE + "adjudications/", given, format="json")
        assert response.status_code == 201
    body = response.json()
    assert (body["verdict"], body["adjudicator"], body["revision"], body["guideline_version"]) == ("b", "rev", 1, 1)
    assert (body["votes_seen"], body["flipped"]) == (True, None)
    [listed] = client.get(BASE + "adjudications/").json()["results"]
    assert listed == body
    [decided] = client.get(BASE + "disputes/?state=decided").json()["results"]
    assert decided["adjudication"] == body


def test_withdrawn_and_superseded_words_are_in_the_history(reviewer: User, split: list[Comparison]) -> None:
    client, one = _client(reviewer), split[0].pk
    for verdict in ("a", "tie", "withdrawn"):
        client.post(BASE + "adjudications/", {"comparison": one, "verdict": verdict}, format="json")
    assert client.get(BASE + f"adjudications/?comparison={one}").json()["results"] == []
    kept = client.get(BASE + f"adjudications/?comparison={one}&history=1").json()["results"]
    assert [row["verdict"] for row in kept] == ["withdrawn", "tie", "a"]
    for query, status in (("x", 400), ("404404", 404)):
        answer = client.get(BASE + f"adjudications/?comparison={query}")
        assert (answer.status_code, answer.json()["field"]) == (status, "comparison")


@pytest.mark.parametrize(
    ("given", "status", "said"),
    [
        ({"verdict": "left"}, 400, "verdict"),
        ({"verdict": "bad"}, 400, "ReasonNeeded"),
        ({"verdict": "bad", "reason": "other"}, 400, "note"),
        ({"verdict": "withdrawn"}, 409, "NothingToAdjudicate"),
        ({"verdict": "a", "after": 3}, 409, "DecidedMeanwhile"),
        ({"verdict": "a", "comparison": 10**30}, 400, "comparison"),
        ({"verdict": "a", "comparison": 987654}, 404, "detail"),
        ({"verdict": "a", "note": "\0"}, 400, "note"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_stored(
    reviewer: User, split: list[Comparison], given: dict[str, object], status: int, said: str
) -> None:
    response = _client(reviewer).post(BASE + "adjudications/", {"comparison": split[0].pk, **given}, format="json")
    assert response.status_code == status and said in response.content.decode()
    assert not Adjudication.objects.exists()


def test_an_unread_guideline_is_409(project: Project, reviewer: User, lead: User, split: list[Comparison]) -> None:
    save_draft(project=project, body="Be brief.", actor=lead)
    publish(project=project, summary="Brief", actor=lead)
    client, given = _client(reviewer), {"comparison": split[0].pk, "verdict": "a"}
    assert client.post(BASE + "adjudications/", given, format="json").json()["code"] == "GuidelineNotRead"
    client.post(BASE + "guideline/")
    assert client.post(BASE + "adjudications/", given, format="json").json()["guideline_version"] == 2


def test_lists_are_bounded_in_queries(
    project: Project, reviewer: User, ann: User, ben: User, django_assert_max_num_queries: object
) -> None:
    made = make_comparisons(project, 20)
    judge_all(project, ann, ["a"] * 20)
    judge_all(project, ben, ["b"] * 20)
    client = _client(reviewer)
    for comparison in made[:10]:
        client.post(BASE + "adjudications/", {"comparison": comparison.pk, "verdict": "a"}, format="json")
    with django_assert_max_num_queries(10):
        assert len(client.get(BASE + "disputes/?state=all").json()["results"]) == 20
        assert len(client.get(BASE + "adjudications/").json()["results"]) == 10
