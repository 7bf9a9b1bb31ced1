"""`Idempotency-Key`: what is sent twice is carried out once, and answered alike."""

import json
from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError
from django.db.models import QuerySet
from django.http import HttpResponse
from django.test import Client
from django.utils import timezone

from annotate.models import FirstAnswer, Project, Prompt, Role, Snapshot, User
from annotate.tasks import expire_leases
from annotate.workflow.projects import set_member
from tests.factories import judge_all, make_comparisons
from tests.meanwhile import meanwhile

pytestmark = pytest.mark.django_db
PROMPTS, SNAPSHOTS = "/api/v1/projects/garden/prompts/", "/api/v1/projects/garden/snapshots/"
WHY = {"content": '{"prompt": "Why?"}\n'}


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def send(client: Client, url: str, body: Any, key: str | None = "one") -> HttpResponse:
    headers = {} if key is None else {"Idempotency-Key": key}
    return client.post(url, body, content_type="application/json", headers=headers)


def told(answer: HttpResponse) -> tuple[int, Any, bool]:
    return answer.status_code, answer.json(), answer.headers.get("Idempotent-Replayed") == "true"


@pytest.fixture
def as_lead(lead: User, project: Project) -> Client:
    return signed_in(lead)


def test_what_is_sent_again_is_answered_as_at_first(as_lead: Client) -> None:
    first = send(as_lead, PROMPTS, WHY)
    assert told(first) == (201, {"created": 1, "unchanged": 0}, False)
    again = send(as_lead, PROMPTS, WHY)
    assert told(again) == (201, {"created": 1, "unchanged": 0}, True)
    assert (again.content, again.headers["Content-Type"]) == (first.content, first.headers["Content-Type"])
    assert told(send(as_lead, PROMPTS, WHY, key=None)) == (201, {"created": 0, "unchanged": 1}, False)


def test_fields_in_another_order_are_the_same_request(as_lead: Client) -> None:
    send(as_lead, PROMPTS, '{"content": "{\\"prompt\\": \\"Why?\\"}", "format": "jsonl"}')
    assert told(send(as_lead, PROMPTS, '{"format": "jsonl", "content": "{\\"prompt\\": \\"Why?\\"}"}'))[2]


@pytest.mark.parametrize("url", [PROMPTS, "/api/v1/projects/garden/demonstrations/"])
def test_another_request_under_the_key_is_refused(as_lead: Client, project: Project, url: str) -> None:
    send(as_lead, PROMPTS, WHY)
    status, body, _ = told(send(as_lead, url, {"content": '{"prompt": "How?", "response": "So."}', "name": "x"}))
    assert (status, body["code"]) == (422, "IdempotencyKeyReused") and "new key" in body["hint"]
    assert project.prompts.count() == 1 and not project.demonstration_sets.exists()


@pytest.mark.parametrize("key", ["", " " * 3 + "\t", "k" * 256, "k\xff"])
def test_a_key_of_bad_form_is_refused(as_lead: Client, project: Project, key: str) -> None:
    status, body, _ = told(send(as_lead, PROMPTS, WHY, key=key))
    assert (status, body["code"]) == (400, "BadIdempotencyKey") and "255" in body["detail"]
    assert not project.prompts.exists()
    assert told(send(as_lead, PROMPTS, WHY, key="k" * 255))[0] == 201


def test_what_was_refused_is_carried_out_when_it_is_sent_again(
    as_lead: Client, project: Project, ann: User, lead: User
) -> None:
    assert told(send(as_lead, SNAPSHOTS, {}))[:2][0] == 409
    assert not FirstAnswer.objects.exists()
    make_comparisons(project, 4)
    judge_all(project, ann, ["a", "b", "a", "b"])
    assert told(send(as_lead, SNAPSHOTS, {}))[0] == 201
    # One more judgment makes another state: the repeat of the request asks for that of before.
    judge_all(project, lead, ["a"])
    assert told(send(as_lead, SNAPSHOTS, {}))[1]["number"] == 1
    assert told(send(as_lead, SNAPSHOTS, {}, key="two"))[1]["number"] == 2


def test_a_body_that_is_no_json_uses_no_key_up(as_lead: Client) -> None:
    assert told(send(as_lead, PROMPTS, "{"))[1]["code"] == "parse_error"
    assert told(send(as_lead, PROMPTS, [1]))[0] == 400
    assert told(send(as_lead, PROMPTS, WHY))[0] == 201


def test_a_form_may_be_sent_under_a_key_too(as_lead: Client) -> None:
    headers = {"Idempotency-Key": "one"}
    assert told(as_lead.post(PROMPTS, WHY, headers=headers)) == (201, {"created": 1, "unchanged": 0}, False)
    assert told(as_lead.post(PROMPTS, WHY, headers=headers))[2]


def test_a_key_is_its_senders_own(as_lead: Client, project: Project, ben: User) -> None:
    set_member(project=project, user=ben, role=Role.MANAGER)
    send(as_lead, PROMPTS, WHY)
    assert told(send(signed_in(ben), PROMPTS, {"content": '{"prompt": "How?"}'})) == (
        201,
        {"created": 1, "unchanged": 0},
        False,
    )


def test_whoever_may_no_longer_ask_is_not_answered(project: Project, ben: User) -> None:
    set_member(project=project, user=ben, role=Role.MANAGER)
    client = signed_in(ben)
    send(client, PROMPTS, WHY)
    set_member(project=project, user=ben, role=Role.REVIEWER)
    assert send(client, PROMPTS, WHY).status_code == 403


def test_a_key_of_a_request_that_starts_nothing_does_not_matter(as_lead: Client) -> None:
    for body in ({}, {"recipe": "dpo"}):
        assert send(as_lead, "/api/v1/projects/garden/estimate/", body).status_code == 400
    assert as_lead.get(PROMPTS, headers={"Idempotency-Key": ""}).status_code == 200
    assert not FirstAnswer.objects.exists()


def test_answers_are_kept_for_a_day(as_lead: Client) -> None:
    send(as_lead, PROMPTS, WHY)
    kept, now = FirstAnswer.objects.all(), timezone.now()
    kept.update(at=now - timedelta(hours=23, minutes=59))
    expire_leases()
    assert told(send(as_lead, PROMPTS, WHY))[2]
    kept.update(at=now - timedelta(hours=24, minutes=1))
    expire_leases()
    assert not kept.exists()
    assert told(send(as_lead, PROMPTS, WHY)) == (201, {"created": 0, "unchanged": 1}, False)


def test_an_import_whose_answer_could_not_be_kept_is_known_by_its_content(
    as_lead: Client, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(_rows: object, **_given: object) -> None:
        raise OperationalError("the connection is closed")

    with monkeypatch.context() as patched:
        patched.setattr(QuerySet, "get_or_create", away)
        assert told(send(as_lead, PROMPTS, WHY))[:1] == (503,)
    assert project.prompts.count() == 1
    assert told(send(as_lead, PROMPTS, WHY)) == (201, {"created": 0, "unchanged": 1}, False)


@pytest.mark.django_db(transaction=True)
def test_an_import_that_is_sent_again_while_it_goes_on_is_stored_once_and_answered_alike(
    as_lead: Client, project: Project, lead: User
) -> None:
    other = signed_in(lead)
    with meanwhile('INSERT INTO "annotate_prompt"', lambda: send(other, PROMPTS, WHY)) as answered:
        mine = send(as_lead, PROMPTS, WHY)
    theirs = answered[0].result()
    assert (mine.status_code, mine.json()) == (theirs.status_code, theirs.json())
    assert sorted([told(mine)[2], told(theirs)[2]]) == [False, True]
    assert Prompt.objects.count() == FirstAnswer.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_a_freeze_that_is_sent_again_while_it_goes_on_makes_one_snapshot(
    as_lead: Client, project: Project, lead: User, ann: User
) -> None:
    make_comparisons(project, 4)
    judge_all(project, ann, ["a", "b", "a", "b"])
    other = signed_in(lead)
    with meanwhile('INSERT INTO "annotate_snapshot"', lambda: send(other, SNAPSHOTS, {})) as answered:
        mine = send(as_lead, SNAPSHOTS, {})
    assert mine.json() == answered[0].result().json() and Snapshot.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_of_two_requests_under_one_key_at_once_neither_that_was_carried_out_is_told_otherwise(
    as_lead: Client, project: Project, lead: User
) -> None:
    """Imports are not held up by a key: both are stored."""
    other = signed_in(lead)
    how = {"content": json.dumps({"prompt": "How?"})}
    with meanwhile('INSERT INTO "annotate_prompt"', lambda: send(other, PROMPTS, how)) as answered:
        mine = send(as_lead, PROMPTS, WHY)
    assert [told(mine), told(answered[0].result())] == [(201, {"created": 1, "unchanged": 0}, False)] * 2
    assert project.prompts.count() == 2
    assert sorted(told(send(as_lead, PROMPTS, body))[0] for body in (WHY, how)) == [201, 422]
