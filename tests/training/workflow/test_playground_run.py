"""A playground with its process: claimed like any run, asked, killed, taken up again, and ended when told."""

import pytest
from django.test import Client

from annotate.models import Project, User
from tests.training.background import child_of, in_background, until
from training.models import Artifact, Playground, RunState
from training.workflow import runner, runs
from training.workflow.playground import end_playground, is_serving, mailbox_of, start_playground
from training.workflow.playground_chat import ask
from training.workflow.playground_turns import Turn, conversation_of

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow, pytest.mark.usefixtures("forked")]


def last(session: Playground) -> Turn:
    found = conversation_of(session).last
    assert found is not None
    return found


def serves(session: Playground) -> bool:
    session.run.refresh_from_db()
    return is_serving(session)


def test_it_is_killed_taken_up_again_with_its_conversation_and_ends_when_told(
    project: Project, policy: Artifact, client: Client, lead: User
) -> None:
    session = start_playground(project, [policy])
    ask(session, "How do I bake bread?", settings={"max_new_tokens": 8}, seed=1)  # before anybody is there
    thread = in_background(session.run)
    until(lambda: last(session).is_done)
    first = last(session).answers[0].text
    assert first
    until(lambda: serves(session))
    number = ask(session, "And then?", settings={"max_new_tokens": 900}, seed=3)  # some 500 tokens
    until(lambda: last(session).answers[0].text)
    child_of(session.run).kill()
    thread.join(30)
    session.run.refresh_from_db()
    assert session.run.state == RunState.FAILED and "SIGKILL" in session.run.reason
    client.force_login(lead)
    page = client.get(f"/p/garden/playground/{session.run_id}/").content.decode()
    assert "This playground has ended." in page and "Start again with the same models" in page
    assert not last(session).is_done

    left_behind = last(session).answers[0].tokens
    thread = in_background(runs.resume(session.run))
    until(lambda: serves(session) and 5 < last(session).answers[0].tokens != left_behind)
    end_playground(session)
    thread.join(60)
    session.run.refresh_from_db()
    assert (session.run.state, session.run.result["ended"]) == (RunState.SUCCEEDED, "told")
    answer = mailbox_of(session).answer(number, "first")
    assert answer["done"] and answer["tokens"] > 5
    assert conversation_of(session).turns[0].answers[0].text == first
    assert not Artifact.objects.filter(run=session.run).exists()


def test_a_worker_that_stops_ends_it_and_does_not_begin_it_again(project: Project, policy: Artifact) -> None:
    session = start_playground(project, [policy])
    thread = in_background(session.run)
    until(lambda: serves(session))
    runner.stopping.set()
    thread.join(60)
    session.run.refresh_from_db()
    assert (session.run.state, session.run.slot) == (RunState.SUCCEEDED, None)
