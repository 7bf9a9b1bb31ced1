"""The pages of the playground: start, talk, score, send, reveal, end; and that nobody sees what is not for them."""

import json
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from annotate.models import Comparison, Project, User
from tests.training.playgrounds import TEXTS, begun, models, over, reply, reply_score
from tests.training.views.conftest import write_progress
from training.models import Artifact, Playground, Run, RunState
from training.workflow import device, jobs, runs
from training.workflow.playground import mailbox_of, takes_comparisons
from training.workflow.playground_chat import ask, score

pytestmark = pytest.mark.django_db
Cast = tuple[Artifact, Artifact, Artifact]
PAGES = "/p/garden/playground/"
HTMX = {"HX-Request": "true"}
VERBS = ("say", "stop", "score", "send", "reveal", "end")


@pytest.fixture
def cast(project: Project) -> Cast:
    return models(project)


@pytest.fixture
def session(project: Project, cast: Cast) -> Playground:
    return begun(project, list(cast[:2]), reward_model=cast[2])


def page_of(session: Playground, verb: str = "") -> str:
    return f"{PAGES}{session.run_id}/{verb + '/' if verb else ''}"


def html(client: Client, session: Playground) -> str:
    answer = client.get(page_of(session))
    assert answer.status_code == 200
    return answer.content.decode()


def start(client: Client, **fields: Any) -> Any:
    return client.post(PAGES, {"idle_minutes": 20, **fields})


def test_the_form_starts_a_playground_with_what_was_chosen(as_lead: Client, cast: Cast, lead: User) -> None:
    one, two, judge = cast
    answer = start(as_lead, model=one.pk, other=two.pk, reward_model=judge.pk, blind="on", device="cpu", priority=1)
    session = Playground.objects.get()
    run = session.run
    assert answer.url == page_of(session)
    assert (run.model, run.reference_model, run.reward_model, session.blind) == (one, two, judge, True)
    assert (run.config, run.device, run.priority, run.created_by) == ({"idle_minutes": 20}, "cpu", 1, lead)
    said = html(as_lead, session)
    assert "No worker is running." in said and "Nothing has been said yet." in said


def test_what_is_refused_stands_at_its_field_and_nothing_is_started(
    as_lead: Client, project: Project, cast: Cast
) -> None:
    one, _two, judge = cast
    for fields, said in (
        ({}, "Nothing was chosen."),
        ({"model": one.pk, "other": one.pk}, "This is the same model."),
        ({"model": one.pk, "blind": "on"}, "One model alone cannot be hidden."),
        ({"model": judge.pk}, "Select a valid choice"),
        ({"model": one.pk, "idle_minutes": 0}, "greater than or equal to 1"),
    ):
        assert said in start(as_lead, **fields).content.decode()
    assert not Run.objects.exists()


def test_the_estimate_is_told_before_and_what_does_not_fit_is_started_only_when_asked_for(
    as_lead: Client, project: Project, policy: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = as_lead.post(PAGES, {"model": policy.pk, "estimate": "1"}, headers=HTMX).content.decode()
    assert "Weights" in part and "of memory" in part and "<html" not in part
    assert "Playgrounds so far" in as_lead.post(PAGES, {"model": policy.pk, "estimate": "1"}).content.decode()
    monkeypatch.setattr(device, "found", lambda: device.Found(host=1000, gpu=0))
    assert "does not fit" in as_lead.post(PAGES, {"model": policy.pk, "estimate": "1"}).content.decode()
    refused = start(as_lead, model=policy.pk).content.decode()
    assert "need about" in refused and 'name="anyway"' in refused and not Run.objects.exists()
    assert start(as_lead, model=policy.pk, anyway="on").status_code == 302


def test_a_message_is_answered_with_and_without_scripts(as_lead: Client, session: Playground) -> None:
    answer = as_lead.post(page_of(session, "say"), {"text": "How?", "temperature": "0.2", "max_new_tokens": "9"})
    assert answer.url == page_of(session) + "#chat"
    asked = mailbox_of(session).request(1)
    assert asked["settings"] == {"temperature": 0.2, "top_p": 0.9, "max_new_tokens": 9}
    waiting = html(as_lead, session)
    assert 'aria-busy="true"' in waiting and "Waits for its turn" in waiting
    reply(session, 1)
    done = as_lead.get(page_of(session), headers={**HTMX, "HX-Target": "last_turn"}).content.decode()
    assert TEXTS["first"] in done and 'aria-busy="true"' not in done and "<html" not in done
    part = as_lead.post(page_of(session, "say"), {"text": "And?", "goes_on_from": "left"}, headers=HTMX)
    assert 'id="chat"' in part.content.decode() and "<html" not in part.content.decode()
    # What the page asks for again is the page, whatever the answer came to.
    assert f'hx-get="{page_of(session)}"' in part.content.decode()
    assert mailbox_of(session).request(2)["sides"]["second"][1]["content"] == TEXTS["first"]


def test_the_last_message_again_and_in_other_words(as_lead: Client, session: Playground) -> None:
    as_lead.post(page_of(session, "say"), {"text": "How?"})
    reply(session, 1)
    as_lead.post(page_of(session, "say"), {"text": "", "again": 1, "seed": 4})
    reply(session, 2)
    as_lead.post(page_of(session, "say"), {"text": "", "edit": 2, "edited": "Why?"})
    requests = [mailbox_of(session).request(number) for number in (2, 3)]
    assert [(request["text"], request["replaces"]) for request in requests] == [("How?", 1), ("Why?", 2)]
    assert requests[0]["seed"] == 4
    assert html(as_lead, session).count('class="exchange"') == 1


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"text": "  "}, "There is no text."),
        ({"text": "x" * 50_001}, "Message: Ensure this value has at most 50000 characters"),
        ({"text": "Hi", "temperature": "9"}, "Temperature: Ensure this value is less than or equal to 2"),
        ({"text": "Hi", "seed": "x"}, "Seed: Enter a whole number."),
        ({"edit": "1", "edited": ""}, "Only the last message"),
        ({"again": "first"}, "There is no message first."),
    ],
)
def test_what_cannot_be_asked_is_said_and_nothing_is_written(
    as_lead: Client, session: Playground, fields: dict[str, str], said: str
) -> None:
    answer = as_lead.post(page_of(session, "say"), fields, headers=HTMX)
    assert answer.status_code == 400 and said in answer.content.decode()
    back = as_lead.post(page_of(session, "say"), fields, headers={"Referer": f"http://testserver{page_of(session)}"})
    assert back.status_code == 302 and said in html(as_lead, session)
    assert mailbox_of(session).numbers() == []


def test_an_answer_is_stopped_and_only_the_last_one_waits(as_lead: Client, session: Playground) -> None:
    as_lead.post(page_of(session, "say"), {"text": "How?"})
    busy = as_lead.post(page_of(session, "say"), {"text": "And?"}, headers=HTMX)
    assert busy.status_code == 409 and "still being answered" in busy.content.decode()
    part = as_lead.post(page_of(session, "stop"), {"message": 1}, headers=HTMX).content.decode()
    assert 'id="last_turn"' in part and mailbox_of(session).is_to_stop(1)
    reply(session, 1, {"first": "Half", "second": ""}, stopped=True, finished=False)
    page = html(as_lead, session)
    assert "stopped before the first word" in page and "Half" in page


def test_scores_stand_in_a_table_with_a_curve(as_lead: Client, session: Playground) -> None:
    text = "One. Two. <b>Three."
    as_lead.post(page_of(session, "score"), {"prompt": "How?", "response": text})
    assert 'aria-busy="true"' in html(as_lead, session)
    reply_score(session, 1, text, [-0.5, 0.25, 0.12345], [4, 9, len(text)])
    page = html(as_lead, session)
    assert 'data-total="0.12345"' in page and ">0.1235<" in page and "−0.5000" in page and "+0.7500" in page
    assert page.count("<circle") == 3 and 'class="zero"' in page and "&lt;b&gt;Three." in page
    as_lead.post(page_of(session, "say"), {"text": "How?"})
    reply(session, 2)
    as_lead.post(page_of(session, "score"), {"message": 2, "side": "right"})
    assert mailbox_of(session).request(3)["response"] == TEXTS["second"]


def test_problems_of_the_process_are_told_in_the_readers_language(as_lead: Client, session: Playground) -> None:
    number = score(session, "How?", "So.")
    error = {"message": "The memory did not suffice: x", "template": "The memory did not suffice: %(error)s"}
    told = {**error, "values": {"error": "x"}, "hint": "Resume it.", "hint_template": ""}
    mailbox_of(session).write_answer(number, "score", {"done": True, "error": told})
    assert "The memory did not suffice: x" in html(as_lead, session)
    as_lead.cookies["django_language"] = "zh-hans"
    assert "The memory did not suffice" not in html(as_lead, session)


def test_a_pair_is_sent_once_and_the_button_is_there_only_where_it_is_allowed(
    as_lead: Client, session: Playground, project: Project
) -> None:
    reply(session, ask(session, "How?"))
    assert page_of(session, "send") not in html(as_lead, session)
    refused = as_lead.post(page_of(session, "send"), {"message": 1}, headers=HTMX)
    assert refused.status_code == 409 and "takes no comparisons" in refused.content.decode()
    assert as_lead.post(f"{PAGES}rule/", {"allowed": "1"}).url == PAGES and takes_comparisons(project)
    assert page_of(session, "send") in html(as_lead, session)
    said = [as_lead.post(page_of(session, "send"), {"message": 1}, follow=True).content.decode() for _ in range(2)]
    made = Comparison.objects.get()
    assert f"as comparison {made.pk}." in said[0] and f"already: comparison {made.pk}." in said[1]
    as_lead.post(f"{PAGES}rule/", {"allowed": "0"})
    assert not takes_comparisons(project)


def test_a_blind_page_names_nobody_until_it_is_asked(as_lead: Client, project: Project, cast: Cast) -> None:
    session = begun(project, list(cast[:2]), blind=True)
    Playground.objects.filter(pk=session.pk).update(flipped=True)
    session.refresh_from_db()
    reply(session, ask(session, "How?"))
    page = html(as_lead, session)
    assert page.index(TEXTS["second"]) < page.index(TEXTS["first"])
    told = as_lead.get(f"/api/v1/projects/garden/playground/{session.run_id}/").json()
    assert told["models"] == {} and "first" not in json.dumps(told["messages"])
    # Both names stand in the title, in the order of the alphabet; nowhere does one stand at a side.
    sides = page[page.index('id="chat"') :]
    assert "alpha" not in sides and "beta" not in sides
    as_lead.post(page_of(session, "reveal"))
    page = html(as_lead, session)
    assert "Left: beta" in page and "Right: alpha" in page
    told = as_lead.get(f"/api/v1/projects/garden/playground/{session.run_id}/").json()
    assert told["models"] == {"left": "beta", "right": "alpha"}


@pytest.mark.parametrize("state", [RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED])
def test_a_page_whose_process_is_gone_says_so_and_offers_another(
    as_lead: Client, session: Playground, state: RunState
) -> None:
    ask(session, "How?")
    Run.objects.filter(pk=session.run_id).update(result={"ended": "idle"})
    over(session, state, reason="Killed." if state == RunState.FAILED else "")
    refresh = as_lead.get(page_of(session), headers={**HTMX, "HX-Target": "playground_state"})
    assert refresh.headers["HX-Refresh"] == "true"
    page = html(as_lead, session)
    assert "This playground has ended." in page and "ended before this was answered" in page
    assert ("Killed." in page) == (state == RunState.FAILED)
    again = f"{PAGES}?model={session.run.model_id}&amp;other={session.run.reference_model_id}"
    assert again in page and 'id="talk"' not in page and "hx-get" not in page
    form = as_lead.get(PAGES, {"model": session.run.model_id, "other": session.run.reference_model_id})
    assert f'value="{session.run.reference_model_id}" selected' in form.content.decode()
    assert ("Go on with this conversation" in page) == (state != RunState.SUCCEEDED)
    if state == RunState.FAILED:
        resumed = as_lead.post(reverse("run_resume", args=["garden", session.run_id]))
        assert resumed.url == page_of(session)
        session.run.refresh_from_db()
        assert session.run.state == RunState.QUEUED
    else:
        refused = as_lead.post(page_of(session, "say"), {"text": "Hi"}, headers=HTMX)
        assert refused.status_code == 409


def test_the_page_says_what_the_process_is_doing_now(as_lead: Client, session: Playground) -> None:
    assert "It ends when nobody has asked anything for 15 minutes." in html(as_lead, session)
    over(session, RunState.FAILED)
    runs.resume(session.run)
    jobs.prepare(session.run)
    assert runs.claim(session.run, "host:cpu", "host:2")
    # The one before was ready; this one has not even begun.
    assert "Starting…" in html(as_lead, session)
    write_progress(session.run, [{"time": 2.0, "kind": "status", "stage": "loading"}])
    assert "Loading the model…" in html(as_lead, session)


def test_the_end_and_files_that_cannot_be_read(as_lead: Client, session: Playground) -> None:
    broken = mailbox_of(session).folder / "000001"
    broken.mkdir(parents=True)
    (broken / "request.json").write_text("{")
    assert "Message 1 cannot be read" in html(as_lead, session)
    as_lead.post(page_of(session, "end"))
    assert Run.objects.get().state == RunState.CANCELLING and "It is ending." in html(as_lead, session)
    as_lead.post(page_of(session, "end"))


def test_a_system_prompt_stands_where_it_has_changed(as_lead: Client, session: Playground) -> None:
    for system in ("Be short.", "Be short.", "", "Be long."):
        reply(session, ask(session, "How?", system=system))
    page = html(as_lead, session)
    assert page.count("<p>Be short.</p>") == page.count("<p>Be long.</p>") == 1


def test_text_of_a_model_is_data(as_lead: Client, session: Playground) -> None:
    reply(session, ask(session, "<script>a</script>"), {"first": "<img src=x onerror=a>", "second": "**bold**"})
    page = html(as_lead, session)
    assert "<script>a" not in page and "<img src=x" not in page and "<strong>bold</strong>" in page


def test_a_reward_model_alone_has_no_conversation(as_lead: Client, project: Project, cast: Cast) -> None:
    session = begun(project, [], reward_model=cast[2])
    page = html(as_lead, session)
    assert 'id="chat"' not in page and 'id="scores"' in page
    assert 'id="scores"' not in html(as_lead, begun(project, [cast[0]]))
