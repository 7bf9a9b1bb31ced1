"""What starts something over the API: sent twice under one key it is started once, also at once, or after a failure."""

from collections.abc import Callable
from typing import Any

import pytest
from django.http import HttpResponse
from django.test import Client

from annotate.models import FirstAnswer, Project, Snapshot, User
from tests.annotate.test_idempotency_keys import send, signed_in, told
from tests.meanwhile import meanwhile
from tests.training.playgrounds import models
from tests.training.workflow.products import end
from training import tasks
from training.api import runs as door
from training.models import Artifact, Bench, Playground, Round, Run, RunState
from training.workflow import runs
from training.workflow.playground import mailbox_of, start_playground

pytestmark = pytest.mark.django_db
HERE = "/api/v1/projects/garden/"
Asked = tuple[str, dict[str, Any]]


@pytest.fixture
def as_lead(lead: User) -> Client:
    return signed_in(lead)


def training(policy: Artifact, **changed: Any) -> Asked:
    return HERE + "runs/", {"recipe": "dpo", "model": policy.pk, "snapshot": 1, **changed}


def starts(policy: Artifact) -> dict[str, Asked]:
    adapter = Artifact.objects.create(
        project=policy.project,
        name="tuned",
        location="/tuned",
        parent=policy,
        is_adapter=True,
        manifest={"config": {"adapter": "lora"}},
    )
    return {
        "run": training(policy),
        "round": (HERE + "rounds/", {"snapshot": 1, "base_policy": policy.pk, "prompts": 2}),
        "bench": (HERE + "benches/", {"snapshot": 1, "model": policy.pk, "methods": ["lora", "ia3"]}),
        "sampling": (HERE + "sampling/", {"model": policy.pk, "prompts": 3}),
        "merge": (HERE + f"models/{adapter.pk}/merge/", {}),
        "export": (HERE + f"models/{policy.pk}/exports/", {"config": {"folder": "mine"}}),
        "model": (HERE + "models/", {"name": "another", "location": policy.location}),
        "playground": (HERE + "playground/", {"models": [policy.pk], "anyway": True}),
    }


def everything() -> list[int]:
    return [kind.objects.count() for kind in (Run, Round, Bench, Artifact, Playground)]


@pytest.mark.parametrize("what", ["run", "round", "bench", "sampling", "merge", "export", "model", "playground"])
def test_it_is_started_once_however_often_it_is_sent(
    as_lead: Client, snapshot: Snapshot, policy: Artifact, what: str
) -> None:
    asked, before = starts(policy)[what], everything()
    first = told(send(as_lead, *asked))
    assert (first[0], first[2]) == (201, False), first
    after = everything()
    assert after != before
    assert [told(send(as_lead, *asked)) for _ in range(2)] == [(201, first[1], True)] * 2
    assert everything() == after
    assert send(as_lead, *asked, key="two").status_code in (201, 409)
    # The name of a model and the folder of an export are taken.
    assert (everything() == after) == (what in ("model", "export"))


def test_the_workers_hear_of_it_once_it_is_committed_and_once(
    as_lead: Client, snapshot: Snapshot, policy: Artifact, django_capture_on_commit_callbacks: Callable
) -> None:
    with django_capture_on_commit_callbacks() as first:
        send(as_lead, *training(policy))
    with django_capture_on_commit_callbacks() as second:
        send(as_lead, *training(policy))
    assert (first, second) == ([tasks._send], [])


def test_other_settings_under_the_same_key_start_nothing(as_lead: Client, snapshot: Snapshot, policy: Artifact) -> None:
    send(as_lead, *training(policy))
    status, body, _ = told(send(as_lead, *training(policy, seed=2)))
    assert (status, body["code"], Run.objects.count()) == (422, "IdempotencyKeyReused", 1)


def test_what_was_refused_or_failed_leaves_nothing_and_is_started_by_the_repeat(
    as_lead: Client, snapshot: Snapshot, policy: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert send(as_lead, *training(policy, config={"beta": -1})).status_code == 400
    as_lead.raise_request_exception = False

    def fail() -> None:
        raise RuntimeError("after the run was stored")

    with monkeypatch.context() as patched:
        patched.setattr(door, "dispatch_queued", fail)
        assert send(as_lead, *training(policy)).status_code == 500
    assert not Run.objects.exists() and not FirstAnswer.objects.exists()
    assert told(send(as_lead, *training(policy)))[0::2] == (201, False) and Run.objects.count() == 1


def test_a_run_that_was_resumed_and_has_failed_again_is_not_resumed_by_a_late_repeat(
    as_lead: Client, project: Project
) -> None:
    run = end(runs.create_run(project, "sample", {}, "samples"), RunState.FAILED)
    url = HERE + f"runs/{run.pk}/resume/"
    assert told(send(as_lead, url, {}))[0::2] == (200, False)
    end(Run.objects.get(), RunState.FAILED)
    assert told(send(as_lead, url, {}))[0::2] == (200, True)
    assert Run.objects.get().state == RunState.FAILED


def test_a_message_of_a_playground_is_asked_once(as_lead: Client, project: Project, lead: User) -> None:
    first, _second, judge = models(project)
    session = start_playground(project, [first], reward_model=judge, anyway=True, actor=lead)
    here = HERE + f"playground/{session.run_id}/"
    for url, body in (("messages/", {"text": "How?"}), ("scores/", {"prompt": "How?", "response": "So."})):
        once, again = (told(send(as_lead, here + url, body, key=url)) for _ in range(2))
        assert (once[0], once[1], again[1:]) == (201, again[1], (once[1], True))
    assert len(mailbox_of(session).numbers()) == 2


Answered = tuple[HttpResponse, HttpResponse]


def at_once(lead: User, mine: Asked, theirs: Asked) -> Answered:
    """The second comes when the first has its key, and nothing else yet."""
    one, other = signed_in(lead), signed_in(lead)
    one.raise_request_exception = other.raise_request_exception = False  # a client hears of the other's exceptions too
    with meanwhile('INSERT INTO "annotate_firstanswer"', lambda: send(other, *theirs)) as answered:
        first = send(one, *mine)
    return first, answered[0].result()


@pytest.mark.django_db(transaction=True)
def test_of_two_at_once_the_second_waits_and_is_answered_as_the_first(
    lead: User, snapshot: Snapshot, policy: Artifact
) -> None:
    first, second = at_once(lead, training(policy), training(policy))
    assert told(first)[0::2] == (201, False)
    assert told(second) == (201, first.json(), True)
    assert Run.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_of_two_at_once_the_second_starts_it_if_the_first_fails(
    lead: User, snapshot: Snapshot, policy: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[int] = []

    def fail_at_first() -> None:
        begun.append(Run.objects.count())
        if len(begun) == 1:
            raise RuntimeError("after the run was stored")

    monkeypatch.setattr(door, "dispatch_queued", fail_at_first)
    first, second = at_once(lead, training(policy), training(policy))
    assert first.status_code == 500 and told(second)[0::2] == (201, False)
    assert begun == [1, 1] and Run.objects.count() == FirstAnswer.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_of_two_at_once_another_request_under_the_key_is_refused(
    lead: User, snapshot: Snapshot, policy: Artifact
) -> None:
    first, second = at_once(lead, training(policy), training(policy, seed=2))
    assert (first.status_code, second.status_code) == (201, 422) and Run.objects.count() == 1
