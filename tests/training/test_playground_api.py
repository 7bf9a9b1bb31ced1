"""The playground over the API: the same verbs, the same doors, and the same refusals."""

from typing import Any

import pytest
from django.test import Client

from annotate.models import Comparison, Project, User
from tests.training.playgrounds import TEXTS, models, over, reply, reply_score
from training.models import Artifact, Playground, Run
from training.workflow import runs
from training.workflow.playground import allow_comparisons, mailbox_of, takes_comparisons

pytestmark = pytest.mark.django_db
ALL = "/api/v1/projects/garden/playground/"
Cast = tuple[Artifact, Artifact, Artifact]


@pytest.fixture
def cast(project: Project) -> Cast:
    return models(project)


@pytest.fixture
def as_lead(client: Client, lead: User) -> Client:
    client.force_login(lead)
    return client


def post(client: Client, url: str, **body: Any) -> tuple[int, dict[str, Any]]:
    answer = client.post(ALL + url, body, content_type="application/json")
    return answer.status_code, answer.json()


def get(client: Client, url: str) -> dict[str, Any]:
    return client.get(ALL + url).json()


def started(client: Client, cast: Cast, **more: Any) -> Playground:
    asked = {"models": [cast[0].pk, cast[1].pk], "reward_model": cast[2].pk, **more}
    status, told = post(client, "", **asked)
    assert status == 201, told
    return Playground.objects.get(run=told["id"])


def test_the_whole_way(as_lead: Client, project: Project, cast: Cast) -> None:
    session = started(as_lead, cast, config={"idle_minutes": 3}, priority="high")
    here = f"{session.run_id}/"
    told = get(as_lead, here)
    assert (told["state"], told["ready"], told["waits_for"]) == ("queued", False, "No worker is running.")
    assert told["models"] == {"left": "alpha", "right": "beta"} and session.run.priority == 1
    assert post(as_lead, here + "messages/", text="How?", system="Be short.", seed=3) == (201, {"number": 1})
    assert not get(as_lead, here + "messages/1/")["done"]
    reply(session, 1)
    found = get(as_lead, here + "messages/1/")
    assert [(a["side"], a["text"]) for a in found["answers"]] == [("left", TEXTS["first"]), ("right", TEXTS["second"])]
    assert (found["done"], found["seed"], found["system"]) == (True, 3, "Be short.")
    assert post(as_lead, here + "messages/", again=1, settings={"temperature": 0.1}) == (201, {"number": 2})
    again = mailbox_of(session).request(2)
    assert again["sides"]["first"][0] == {"role": "system", "content": "Be short."} and again["text"] == "How?"
    assert as_lead.get(ALL + here + "messages/1/").status_code == 404
    reply(session, 2)
    assert post(as_lead, here + "messages/2/stop/") == (200, {"number": 2})
    allow_comparisons(project, True)
    status, made = post(as_lead, here + "messages/2/comparison/")
    assert status == 201 and made["id"] == Comparison.objects.get().pk and made["batch"] == "Playground"
    assert post(as_lead, here + "messages/2/comparison/") == (200, made)
    assert post(as_lead, here + "scores/", prompt="How?", response="One. Two.") == (201, {"number": 3})
    reply_score(session, 3, "One. Two.", [1.0, 0.5], [4, 9])
    scored = get(as_lead, here + "scores/3/")
    assert (scored["total"], [row["change"] for row in scored["sentences"]]) == (0.5, [None, -0.5])
    assert post(as_lead, here + "scores/", message=2, side="left") == (201, {"number": 4})
    assert post(as_lead, here + "end/")[1]["state"] == "cancelled"
    assert [row["id"] for row in get(as_lead, "")["results"]] == [session.run_id]


def test_what_is_refused_names_field_and_reason(as_lead: Client, cast: Cast) -> None:
    one, two, judge = cast
    for asked, status, where in (
        ({}, 400, "models"),
        ({"models": [one.pk, one.pk]}, 400, "models"),
        ({"models": [judge.pk]}, 400, "models"),
        ({"models": [one.pk, judge.pk]}, 400, "models"),
        ({"models": [one.pk], "blind": True}, 400, "blind"),
        ({"models": [one.pk], "config": {"idle_minutes": 0}}, 400, "playground.idle_minutes"),
        ({"models": [10**6]}, 404, "models"),
        ({"models": [one.pk], "reward_model": 10**6}, 404, "reward_model"),
    ):
        found, told = post(as_lead, "", **asked)
        assert (found, told.get("field")) == (status, where), told
    assert post(as_lead, "", models=[one.pk, two.pk, judge.pk])[0] == 400
    assert not Run.objects.exists()
    session = started(as_lead, cast)
    here = f"{session.run_id}/"
    assert post(as_lead, here + "messages/", text=" ")[1]["field"] == "text"
    assert post(as_lead, here + "messages/", text="\ud800")[0] == 400
    assert post(as_lead, here + "messages/", text="Hi", settings={"colour": "red"})[1]["field"] == "settings.colour"
    assert post(as_lead, here + "messages/", text="Hi", goes_on_from="above")[1]["field"] == "goes_on_from"
    assert post(as_lead, here + "messages/", text="Hi", seed=-1)[0] == 400
    assert post(as_lead, here + "messages/1/comparison/")[1]["code"] == "NotAllowed"
    assert post(as_lead, here + "messages/1/stop/")[0] == 400
    assert post(as_lead, here + "scores/", prompt="How?")[1]["field"] == "response"
    assert as_lead.get(ALL + here + "scores/1/").status_code == 404
    assert mailbox_of(session).numbers() == []
    post(as_lead, here + "messages/", text="Hi")
    assert post(as_lead, here + "messages/", text="Hi")[1]["code"] == "PlaygroundBusy"
    runs.claim(session.run, "host:cpu", "host:1")
    over(session)
    assert post(as_lead, here + "messages/", text="Hi")[1]["code"] == "PlaygroundEnded"


def test_each_role_may_what_the_pages_let_it(
    client: Client, cast: Cast, lead: User, reviewer: User, ann: User, stranger: User
) -> None:
    client.force_login(lead)
    session = started(client, cast, blind=True)
    here = f"{session.run_id}/"
    post(client, here + "messages/", text="Hi")
    reads = ["", here, here + "messages/1/"]
    writes = ["", *(here + verb for verb in ("messages/", "messages/1/stop/", "messages/1/comparison/", "scores/"))]
    writes += [here + "reveal/", here + "end/"]
    for who, seen, done in ((reviewer, 200, 403), (ann, 403, 403), (stranger, 404, 404)):
        client.force_login(who)
        assert {client.get(ALL + url).status_code for url in reads} == {seen}
        assert {post(client, url)[0] for url in writes} == {done}
    client.force_login(reviewer)
    assert get(client, here)["models"] == {} and get(client, "")["results"][0]["models"] == {}
    client.force_login(lead)
    assert set(post(client, here + "reveal/")[1]["models"].values()) == {"alpha", "beta"}


def test_whoever_manages_allows_comparisons_as_on_the_page(
    client: Client, as_lead: Client, project: Project, cast: Cast, reviewer: User, ann: User
) -> None:
    session = started(as_lead, cast)
    post(as_lead, f"{session.run_id}/messages/", text="How?")
    reply(session, 1)
    address = f"{session.run_id}/messages/1/comparison/"
    status, told = post(as_lead, address)
    assert status == 409 and "playground/rule/" in told["hint"]
    assert get(as_lead, "rule/") == {"takes_comparisons": False}
    assert post(as_lead, "rule/", takes_comparisons=True) == (200, {"takes_comparisons": True})
    assert post(as_lead, address)[0] == 201
    assert post(as_lead, "rule/", allowed=True)[0] == 400
    for person, read, write in ((reviewer, 200, 403), (ann, 403, 403)):
        client.force_login(person)
        assert client.get(f"{ALL}rule/").status_code == read
        assert post(client, "rule/", takes_comparisons=False)[0] == write
    assert takes_comparisons(project)
