"""Every page of the left wing against every kind of person: a stranger gets 404, a role too low 403."""

import uuid

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from annotate.models import Comparison, Project, User, Verdict
from annotate.urls import urlpatterns
from annotate.workflow.adjudication import adjudicate
from annotate.workflow.demonstrations import import_demonstrations
from annotate.workflow.feedback import import_feedback
from annotate.workflow.projects import create_project
from annotate.workflow.snapshots import freeze
from tests.factories import judge_all, make_comparisons, make_user

ANNOTATOR = ["", "judge/", "guideline/", "guideline/v1/", "guideline/v1..v1/"]
REVIEWER = [
    "agreement/", "prompts/", "comparisons/", "comparisons/{comparison}/", "snapshots/", "snapshots/1/",
    "snapshots/1/all.jsonl", "snapshots/1/train.jsonl", "snapshots/1/test.parquet",
    "adjudication/", "adjudication/?state=decided&tag=x", "adjudication/{comparison}/",
    "adjudication/{comparison}/?votes=1",
]  # fmt: skip
MANAGER = [
    "guideline/draft/", "prompts/upload/", "comparisons/upload/", "demonstrations/", "demonstrations/upload/",
    "demonstrations/{set}/", "feedback/", "feedback/upload/", "feedback/{votes}/", "snapshots/new/", "members/",
    "settings/",
]  # fmt: skip
ALL = ANNOTATOR + REVIEWER + MANAGER
MOST_QUERIES = 25


@pytest.fixture
def garden(project: Project, comparisons: list[Comparison], ann: User, ben: User, reviewer: User) -> dict[str, int]:
    judge_all(project, ann, ["a", "b", "a", "tie"])
    judge_all(project, ben, ["a", "b", "b"])
    word = {"adjudicator": reviewer, "verdict": Verdict.B, "votes_seen": True, "client_key": uuid.uuid4()}
    adjudicate(comparison=comparisons[2], **word)
    freeze(project=project)
    lines = ['{"prompt": "How?", "response": "So."}']
    stored, _created, _forms = import_demonstrations(project=project, name="One", lines=lines, test_share=0)
    lines = ['{"prompt": "How?", "completion": "So.", "label": true}']
    votes, _created = import_feedback(project=project, name="One", lines=lines, test_share=0)
    return {"comparison": comparisons[0].pk, "set": stored.pk, "votes": votes.pk}


def _status(client: Client, page: str, garden: dict[str, int]) -> int:
    return client.get("/p/garden/" + page.format(**garden)).status_code


@pytest.mark.parametrize(("who", "allowed"), [("ann", ANNOTATOR), ("rev", ANNOTATOR + REVIEWER), ("lead", ALL)])
def test_each_role_sees_its_pages_and_no_others(
    client: Client, garden: dict[str, int], who: str, allowed: list[str]
) -> None:
    client.force_login(User.objects.get(username=who))
    found = {page: _status(client, page, garden) for page in ALL}
    assert found == {page: 200 if page in allowed else 403 for page in ALL}


def test_a_stranger_cannot_tell_the_project_from_one_that_does_not_exist(
    client: Client, garden: dict[str, int], stranger: User
) -> None:
    client.force_login(stranger)
    assert {_status(client, page, garden) for page in ALL} == {404}
    assert client.get("/p/desert/").status_code == 404


def test_nobody_signed_in_is_led_to_the_sign_in_page(client: Client, garden: dict[str, int]) -> None:
    for page in ALL:
        response = client.get("/p/garden/" + page.format(**garden))
        assert response.headers["Location"].startswith("/accounts/login/?next=/p/garden/")


def test_an_id_of_another_project_opens_nothing(client: Client, garden: dict[str, int], ann: User) -> None:
    other = make_user("other")
    create_project(slug="desert", name="Desert", manager=other)
    client.force_login(other)
    one = garden["comparison"]
    for page in (
        f"comparisons/{one}/",
        f"adjudication/{one}/",
        f"adjudication/next/?after={one}",
        "snapshots/1/",
        "snapshots/1/all.jsonl",
        "guideline/v1/",
    ):
        assert client.get("/p/desert/" + page).status_code == 404
    assert client.post(f"/p/desert/members/{ann.pk}/", {"action": "remove"}).status_code == 404


def test_every_verb_of_a_manager_is_closed_to_a_reviewer(
    client: Client, garden: dict[str, int], reviewer: User
) -> None:
    client.force_login(reviewer)
    verbs = ["guideline/draft/", "guideline/publish/", "prompts/upload/", "comparisons/upload/", "snapshots/new/",
             "members/", f"members/{reviewer.pk}/", "settings/"]  # fmt: skip
    assert {client.post("/p/garden/" + verb).status_code for verb in verbs} == {403}


def test_an_annotator_adjudicates_nothing(client: Client, garden: dict[str, int], ann: User) -> None:
    client.force_login(ann)
    one = garden["comparison"]
    verbs = [f"adjudication/{one}/submit/", f"adjudication/{one}/read/", "adjudication/undo/"]
    assert {client.post("/p/garden/" + verb).status_code for verb in verbs} == {403}
    assert client.get("/p/garden/adjudication/next/").status_code == 403


def test_the_lists_above_leave_no_page_out() -> None:
    tried = {page.partition("{")[0].split("/")[0] for page in ALL}
    known = {
        str(p.pattern).removeprefix("p/<slug:slug>/").split("/")[0] for p in urlpatterns if "<slug:" in str(p.pattern)
    }
    assert known <= tried


def test_the_navigation_shows_what_the_role_may_open(client: Client, garden: dict[str, int]) -> None:
    for who, shown, hidden in (
        ("ann", "guideline/", "prompts/"),
        ("rev", "prompts/", "members/"),
        ("lead", "members/", "x"),
    ):
        client.force_login(User.objects.get(username=who))
        html = client.get("/p/garden/").content.decode()
        assert f'href="/p/garden/{shown}"' in html
        assert f'href="/p/garden/{hidden}"' not in html


@pytest.mark.parametrize("page", ALL)
def test_every_page_costs_a_bounded_number_of_queries(
    client: Client, garden: dict[str, int], lead: User, page: str, django_assert_max_num_queries
) -> None:
    client.force_login(lead)
    with django_assert_max_num_queries(MOST_QUERIES):
        _status(client, page, garden)


def test_a_list_costs_no_more_queries_when_it_is_longer(client: Client, project: Project, lead: User) -> None:
    client.force_login(lead)
    costs = []
    for start in (0, 10):
        make_comparisons(project, 10, start=start)
        for page in ("prompts/", "comparisons/", "comparisons/?status=disputed", "adjudication/"):
            with CaptureQueriesContext(connection) as captured:
                client.get("/p/garden/" + page)
            costs.append(len(captured))
    assert costs[:4] == costs[4:]
