"""The API: the same door, the same verbs, blind cards, idempotent answers."""

import json
import re
import uuid

import pytest
from rest_framework.test import APIClient

from annotate.models import Judgment, Project, User
from annotate.workflow.guidelines import publish
from annotate.workflow.snapshots import freeze
from tests.factories import judge_all, make_comparisons

pytestmark = pytest.mark.django_db
BASE = "/api/v1/projects/garden/"
RESULTS = ("prompts/", "agreement/", "snapshots/", "runs/", "models/", "comparisons/")


def _client(user: User) -> APIClient:
    client = APIClient()
    client.force_authenticate(user)
    return client


def test_a_stranger_finds_nothing(project: Project, stranger: User) -> None:
    client = _client(stranger)
    assert client.get("/api/v1/projects/").json()["results"] == []
    for address in ("", *RESULTS, "rounds/", "guideline/"):
        assert client.get(BASE + address).status_code == 404


def test_nobody_gets_in_without_signing_in(project: Project) -> None:
    assert APIClient().get(BASE).status_code in (401, 403)


@pytest.mark.parametrize("end", ["\r", "\n", "\r\n"])
def test_a_csv_is_read_whatever_ends_its_lines(project: Project, lead: User, end: str) -> None:
    content = end.join(["prompt,tags", "Why?,a;b", "How?,"])
    answer = _client(lead).post(BASE + "prompts/", {"content": content, "format": "csv"}, format="json")
    assert answer.status_code == 201 and answer.json()["created"] == 2
    assert list(project.prompts.values_list("tags", flat=True)) == [["a", "b"], []]


@pytest.mark.parametrize("address", RESULTS)
def test_an_annotator_sees_no_results(project: Project, ann: User, address: str) -> None:
    assert _client(ann).get(BASE + address).status_code == 403


def test_a_card_is_blind_and_in_the_drawn_order(project: Project, ann: User) -> None:
    make_comparisons(project, 1)
    card = _client(ann).post(BASE + "next/").json()
    assert set(card) == {"id", "prompt", "left", "right", "degrees", "guideline_version", "expires_at"}
    assert card["degrees"] == []
    assignment = ann.assignments.get()
    shown = [assignment.comparison.response_a.text, assignment.comparison.response_b.text]
    assert [card["left"], card["right"]] == (shown[::-1] if assignment.flipped else shown)


def test_an_answer_is_stored_in_the_comparisons_terms_and_once(project: Project, ann: User) -> None:
    make_comparisons(project, 1)
    client = _client(ann)
    card = client.post(BASE + "next/").json()
    answer = {"side": "left", "client_key": str(uuid.uuid4()), "seconds": 3.5, "note": "clearer"}
    for _ in range(2):
        response = client.post(f"{BASE}cards/{card['id']}/judgment/", answer, format="json")
        assert response.status_code == 201
    judgment = Judgment.objects.get()
    winner = judgment.comparison.response_a if judgment.choice == "a" else judgment.comparison.response_b
    assert winner.text == card["left"]
    assert client.post(BASE + "next/").status_code == 204


def test_a_card_says_which_degrees_to_choose_from_and_an_answer_brings_one(project: Project, ann: User, lead: User):
    project.degrees = 2
    project.save()
    make_comparisons(project, 1)
    client = _client(ann)
    card = client.post(BASE + "next/").json()
    assert (client.get(BASE).json()["degrees"], card["degrees"]) == (2, [1, 3])
    address = f"{BASE}cards/{card['id']}/judgment/"
    for wrong in ({"side": "left"}, {"side": "left", "degree": 2}, {"side": "tie", "degree": 1}):
        refused = client.post(address, wrong, format="json")
        assert (refused.status_code, refused.json()["field"]) == (400, "degree")
        assert "degree" in refused.json()["hint"]
    assert client.post(address, {"side": "left", "degree": 4}, format="json").status_code == 400
    answered = client.post(address, {"side": "left", "degree": 3}, format="json")
    assert (answered.status_code, answered.json()["side"], answered.json()["degree"]) == (201, "left", 3)
    [row] = _client(lead).get(BASE + "comparisons/").json()["results"]
    assert [judgment["degree"] for judgment in row["judgments"]] == [3]
    assert _client(ann).post(BASE + "undo/").json()["degrees"] == [1, 3]


def test_a_degree_is_refused_where_none_is_asked(project: Project, ann: User) -> None:
    make_comparisons(project, 1)
    card = _client(ann).post(BASE + "next/").json()
    refused = _client(ann).post(f"{BASE}cards/{card['id']}/judgment/", {"side": "left", "degree": 3}, format="json")
    assert refused.status_code == 400 and "only which response is better" in refused.json()["detail"]
    assert not Judgment.objects.exists()


def test_somebody_elses_card_is_404(project: Project, ann: User, ben: User, comparisons: list) -> None:
    card = _client(ann).post(BASE + "next/").json()
    response = _client(ben).post(f"{BASE}cards/{card['id']}/judgment/", {"side": "tie"}, format="json")
    assert response.status_code == 404 and response.json()["hint"]


def test_an_unread_guideline_is_409_until_it_is_read(project: Project, lead: User, comparisons: list) -> None:
    client = _client(lead)
    assert client.post(BASE + "next/").json()["code"] == "GuidelineNotRead"
    client.post(BASE + "guideline/")
    assert client.post(BASE + "next/").status_code == 200


def test_a_card_taken_back_is_answered_under_the_version_read_meanwhile(
    project: Project, ann: User, lead: User, comparisons: list
) -> None:
    client = _client(ann)
    address = f"{BASE}cards/{client.post(BASE + 'next/').json()['id']}/judgment/"
    client.post(address, {"side": "left", "client_key": str(uuid.uuid4())}, format="json")
    publish(project=project, summary="More", actor=lead, body="Two.")
    assert client.post(BASE + "guideline/").json()["number"] == 2
    assert client.post(BASE + "undo/").json()["guideline_version"] == 2
    again = client.post(address, {"side": "right", "client_key": str(uuid.uuid4())}, format="json").json()
    assert (again["guideline_version"], again["revision"]) == (2, 3)


def test_a_bad_upload_names_its_lines(project: Project, lead: User) -> None:
    response = _client(lead).post(BASE + "prompts/", {"content": '{"prompt": "ok"}\nnonsense\n'}, format="json")
    assert response.status_code == 400
    assert response.json()["errors"][0]["line"] == 2
    assert project.prompts.count() == 0


def test_freeze_and_export(project: Project, lead: User, ann: User) -> None:
    make_comparisons(project, 3)
    judge_all(project, ann, ["a", "b", "tie"])
    client = _client(lead)
    assert client.post(BASE + "snapshots/", {}, format="json").status_code == 201
    assert client.post(BASE + "snapshots/", {}, format="json").status_code == 200
    body = b"".join(client.get(BASE + "snapshots/1/export/").streaming_content).decode()
    assert [set(json.loads(line)) for line in body.splitlines()] == [{"prompt", "chosen", "rejected"}] * 2


def test_an_empty_snapshot_says_why(project: Project, lead: User) -> None:
    response = _client(lead).post(BASE + "snapshots/", {}, format="json")
    assert response.status_code == 409 and "nothing to freeze" in response.json()["detail"]


def test_the_schema_describes_every_address(project: Project, lead: User) -> None:
    response = _client(lead).get("/api/v1/schema/?format=json")
    assert response.status_code == 200
    assert "/api/v1/projects/{slug}/cards/{assignment_id}/judgment/" in response.json()["paths"]


def test_pages_of_lists_are_bounded_in_queries(
    project: Project, reviewer: User, ann: User, django_assert_max_num_queries: object
) -> None:
    make_comparisons(project, 20)
    judge_all(project, ann, ["a"] * 20)
    with django_assert_max_num_queries(10):
        assert len(_client(reviewer).get(BASE + "comparisons/").json()["results"]) == 20


def test_comparisons_judged_elsewhere_are_imported(project: Project, lead: User, reviewer: User) -> None:
    record = {"id": "c1", "prompt": "Why?", "response_a": "A\u2028", "response_b": "B"}
    lines = json.dumps({**record, "annotations": [{"annotator": "w1", "choice": "b"}]}, ensure_ascii=False)
    assert _client(reviewer).post(BASE + "comparisons/", {"content": lines}, format="json").status_code == 403
    response = _client(lead).post(BASE + "comparisons/", {"content": lines}, format="json")
    assert (response.status_code, response.json()["judgments"]) == (201, 1)
    [row] = _client(reviewer).get(BASE + "comparisons/").json()["results"]
    assert (row["response_a"], row["judgments"][0]["annotator"]) == ("A\u2028", "w1")
    bad = _client(lead).post(BASE + "comparisons/", {"content": lines + "\n{}"}, format="json")
    assert (bad.status_code, bad.json()["errors"][0]["line"]) == (400, 2)


def test_agreement_is_that_of_the_command_and_is_broken_down(project: Project, reviewer: User, ann: User) -> None:
    make_comparisons(project, 3)
    judge_all(project, ann, ["a", "b", "tie"])
    report = _client(reviewer).get(BASE + "agreement/?by=guideline&bootstrap=10").json()
    assert report["groups"][0]["group"] == "v1"
    assert report["fleiss_kappa"] == {"value": None, "reason": "no item was judged by two annotators"}
    assert _client(reviewer).get(BASE + "agreement/?by=colour").json()["field"] == "by"


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("agreement/?bootstrap=abc", "bootstrap"),
        ("agreement/?bootstrap=0", "bootstrap"),
        ("agreement/?bootstrap=10001", "bootstrap"),
        ("agreement/?bootstrap=²", "bootstrap"),
        ("agreement/?by=zz", "by"),
        ("snapshots/1/export/?split=zz", "split"),
    ],
)
def test_what_a_query_cannot_say_is_400_at_its_field_in_the_readers_language(
    project: Project, reviewer: User, ann: User, query: str, field: str
) -> None:
    make_comparisons(project, 3)
    judge_all(project, ann, ["a", "b", "a"])
    freeze(project=project)
    answer = _client(reviewer).get(BASE + query)
    assert (answer.status_code, answer.json()["code"], answer.json()["field"]) == (400, "invalid", field)
    chinese = _client(reviewer).get(BASE + query, headers={"Accept-Language": "zh-hans"}).json()
    assert chinese["field"] == field and re.search(r"[\u4e00-\u9fff]", chinese["detail"])


def test_a_card_that_is_not_there_is_said_in_the_readers_language(project: Project, ann: User) -> None:
    skip = {"reason": "unclear"}
    answer = _client(ann).post(BASE + "cards/77/skip/", skip, format="json", headers={"Accept-Language": "zh-hans"})
    assert answer.status_code == 404
    assert all(re.search(r"[\u4e00-\u9fff]", answer.json()[part]) for part in ("detail", "hint"))
