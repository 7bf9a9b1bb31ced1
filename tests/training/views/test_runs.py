"""The page of a run, and its buttons."""

import re

import pytest
from django.test import Client
from django.urls import reverse

from annotate.models import User
from annotate.workflow.intake import store_response
from annotate.workflow.projects import create_project
from tests.training.views.conftest import begin, complete, figure, step, write_progress
from training.models import Round, Run, RunState, Sample
from training.workflow import runs
from training.workflow.folders import folder_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def run(round: Round) -> Run:
    return round.runs.get(stage=0)


def page_of(client: Client, run: Run) -> str:
    answer = client.get(reverse("run", args=["garden", run.pk]))
    assert answer.status_code == 200
    return answer.content.decode()


def test_the_page_names_every_setting_the_seed_the_device_and_the_pairs_left_out(as_lead: Client, run: Run) -> None:
    complete(run, {"accuracy": figure(0.8)}, dropped=[{"id": "c-p3", "why": "longer than 512 tokens"}])
    page = page_of(as_lead, run)
    for words in (
        "Learning rate",
        "0.0002",
        "Target layers",
        "float32",
        "cpu",
        "c-p3",
        "longer than 512 tokens",
        "80 %",
    ):
        assert words in page, words


def test_the_whole_chart_library_is_loaded_on_the_page_of_a_run_only(as_lead: Client, run: Run) -> None:
    assert "plotly.min.js" in page_of(as_lead, run)
    for name in ("runs", "rounds", "models"):
        assert "plotly" not in as_lead.get(reverse(name, args=["garden"])).content.decode(), name


def test_no_page_of_a_run_has_a_script_or_a_handler_inside(as_lead: Client, run: Run) -> None:
    page = page_of(as_lead, begin(run))
    assert page.count("<script") == page.count("<script src=")
    assert " onclick=" not in page


def test_without_javascript_the_last_steps_stand_in_a_table(as_lead: Client, run: Run) -> None:
    begin(run)
    write_progress(run, [step(number, loss=0.1234 * number) for number in range(1, 30)])
    page = page_of(as_lead, run)
    assert "<noscript>" in page
    assert "3.58" in page, "the 29th step's loss"
    assert page.count('<tr><td class="num">') == 12


def test_a_log_is_shown_as_text_and_never_as_markup(as_lead: Client, run: Run) -> None:
    begin(run)
    folder_of(run).mkdir(parents=True)
    (folder_of(run) / "run.log").write_text("one\n<img src=x onerror=alert(1)>\n")
    assert "&lt;img src=x" in page_of(as_lead, run)
    whole = as_lead.get(reverse("run_log", args=["garden", run.pk]))
    assert b"".join(whole.streaming_content) == b"one\n<img src=x onerror=alert(1)>\n"
    assert whole.headers["Content-Type"].startswith("text/plain")
    assert whole.headers["X-Content-Type-Options"] == "nosniff"


def test_the_log_of_a_run_that_has_written_none_is_not_found(as_lead: Client, run: Run) -> None:
    assert as_lead.get(reverse("run_log", args=["garden", run.pk])).status_code == 404


def test_a_samples_text_goes_through_the_sanitiser(as_lead: Client, round: Round) -> None:
    run = round.runs.get(stage=2)
    prompt = run.project.prompts.first()
    text = "**bold** <script>alert(1)</script>"
    response = store_response(prompt=prompt, text=text, source="base", key="run:new:0")
    Sample.objects.create(response=response, run=run, artifact=round.base_policy, tokens=5, finished=False)
    page = page_of(as_lead, run)
    assert "<strong>bold</strong>" in page
    assert "<script>alert" not in page
    assert "cut at the maximum length" in page


def test_who_wrote_a_sample_is_not_told_before_its_comparison_is_judged(as_lead: Client, round: Round) -> None:
    complete(round.runs.get(stage=0), {})
    complete(round.runs.get(stage=1), {})
    run = round.runs.get(stage=2)
    response = store_response(prompt=run.project.prompts.first(), text="Water it.", source="base", key="run:old:0")
    sample = Sample.objects.create(response=response, run=run, artifact=run.reference_model, tokens=5, finished=True)
    told = '<p class="small muted">base · 5 tokens'
    assert "Water it." in page_of(as_lead, run)
    assert told not in page_of(as_lead, run)
    Run.objects.filter(pk=run.pk).update(reference_model=None, model=sample.artifact)
    assert told in page_of(as_lead, run), "with one model there is nothing to hide"


def test_what_the_policy_wrote_before_and_after_its_training_stands_side_by_side(as_lead: Client, round: Round) -> None:
    complete(round.runs.get(stage=0), {})
    run = round.runs.get(stage=1)
    prompt = [{"role": "user", "content": "How tall?"}]
    complete(run, {"samples": [{"prompt": prompt, "old": "Very.", "new": "**Ten** metres."}]})
    for page in (page_of(as_lead, run), as_lead.get(reverse("round", args=["garden", 1])).content.decode()):
        assert "How tall?" in page and "Very." in page and "<strong>Ten</strong> metres." in page


def test_cancel_stops_a_running_run_and_says_who_asked(as_lead: Client, run: Run, lead: User) -> None:
    begin(run)
    answer = as_lead.post(reverse("run_cancel", args=["garden", run.pk]), follow=True)
    run.refresh_from_db()
    assert run.state == RunState.CANCELLING
    assert run.events.last().actor == lead
    assert "Stopping at the next step" in answer.content.decode()


def test_a_failed_run_offers_resume_and_goes_back_to_the_queue(as_lead: Client, run: Run) -> None:
    runs.finish(begin(run), RunState.FAILED, reason="Out of memory.", hint="Lower the batch size.")
    page = page_of(as_lead, run)
    assert "Out of memory." in page and "Lower the batch size." in page
    assert reverse("run_cancel", args=["garden", run.pk]) not in page
    as_lead.post(reverse("run_resume", args=["garden", run.pk]))
    run.refresh_from_db()
    assert run.state == RunState.QUEUED


@pytest.mark.parametrize(
    ("code", "primary"), [("empty_data", "Clone with changes"), ("disk_full", "Resume"), ("", "Resume")]
)
def test_what_would_fail_again_is_to_be_cloned_and_everything_else_resumed(
    as_lead: Client, run: Run, code: str, primary: str
) -> None:
    runs.finish(begin(run), RunState.FAILED, reason="It broke.", failure={"code": code})
    buttons = re.findall(
        r'<(?:a|button) class="btn( btn-primary)?"[^>]*>(Clone with changes|Resume)<', page_of(as_lead, run)
    )
    assert {name: bool(marked) for marked, name in buttons} == {
        name: name == primary for name in ("Clone with changes", "Resume")
    }


@pytest.mark.parametrize("verb", ["run_cancel", "run_resume"])
def test_a_refused_button_leaves_a_message_on_the_page(as_lead: Client, run: Run, verb: str) -> None:
    complete(run, {})
    answer = as_lead.post(reverse(verb, args=["garden", run.pk]), follow=True)
    assert "notice" in answer.content.decode()
    assert "Round 1 reward model" in str(next(iter(answer.context["messages"])))
    run.refresh_from_db()
    assert run.state == RunState.SUCCEEDED


def test_the_buttons_are_the_managers_and_answer_to_post_only(
    client: Client, as_lead: Client, run: Run, reviewer: User, stranger: User
) -> None:
    urls = [reverse(verb, args=["garden", run.pk]) for verb in ("run_cancel", "run_resume")]
    assert [as_lead.get(url).status_code for url in urls] == [405, 405]
    client.force_login(reviewer)
    assert [client.post(url).status_code for url in urls] == [403, 403]
    assert urls[0] not in page_of(client, run)
    client.force_login(stranger)
    assert [client.post(url).status_code for url in urls] == [404, 404]
    run.refresh_from_db()
    assert run.state == RunState.QUEUED


def test_htmx_gets_the_part_it_asks_for_and_a_whole_page_when_the_state_has_changed(as_lead: Client, run: Run) -> None:
    url = reverse("run", args=["garden", run.pk])
    for part, start in (("run_state", '<section id="run_state"'), ("run_log", '<pre class="log tail" id="run_log"')):
        asking = {"headers": {"HX-Request": "true", "HX-Target": part}}
        assert as_lead.get(url, {"state": "queued"}, **asking).content.decode().strip().startswith(start)
    begin(run)
    assert as_lead.get(url, {"state": "queued"}, **asking).headers["HX-Refresh"] == "true"


def test_a_run_of_another_project_is_not_found(as_lead: Client, run: Run, lead: User) -> None:
    create_project(slug="other", name="Other", manager=lead, guideline="x", summary="y")
    for name in ("run", "run_progress", "run_log"):
        assert as_lead.get(reverse(name, args=["other", run.pk])).status_code == 404, name


def test_what_a_part_is_named_or_described_by_is_on_the_page(as_lead: Client, run: Run) -> None:
    html = page_of(as_lead, run)
    named = re.findall(r'aria-(?:labelledby|describedby)="([^"]+)"', html)
    assert named
    assert {name for names in named for name in names.split()} <= set(re.findall(r' id="([^"]+)"', html))
