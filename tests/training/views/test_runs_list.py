"""The list of runs: filters, orders, pins, and in a bounded number of queries."""

import re
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from annotate.models import Project, User
from tests.training.views.conftest import begin, complete, figure
from training.models import Artifact, Priority, Round, Run, RunState
from training.workflow import finding, runs
from training.workflow.headlines import HEADLINES

pytestmark = pytest.mark.django_db


def url() -> str:
    return reverse("runs", args=["garden"])


def names(client: Client, **query: Any) -> list[str]:
    return [run.name for run in client.get(url(), query).context["page"]]


def ended(project: Project, name: str, recipe: str, value: float | None, minutes: int = 1, **more: Any) -> Run:
    """A run with the headline figure of its recipe; None for one without a product."""
    run = runs.create_run(project, recipe, {}, name, **more)
    assert runs.claim(run, f"h:{run.pk}", "h:1")
    runs.finish(run, RunState.SUCCEEDED if value is not None else RunState.FAILED)
    started = timezone.now() - timedelta(days=1)
    took = timedelta(minutes=minutes)
    Run.objects.filter(pk=run.pk).update(started_at=started, ended_at=started + took, worked=took)
    if value is not None:
        manifest = {"recipe": recipe, "metrics": {HEADLINES[recipe].metric: figure(value)}}
        Artifact.objects.create(project=project, name=name, location="/x", run=run, manifest=manifest)
    return run


def test_the_list_is_found_by_recipe_state_model_snapshot_round_and_words(
    as_lead: Client, project: Project, round: Round
) -> None:
    ended(project, "Careful beta", "dpo", 0.3, model=round.base_policy, snapshot=round.snapshot)
    failed = ended(project, "Broken", "reward", None)
    assert names(as_lead, recipe="reward") == ["Broken", "Round 1 reward model"]
    assert names(as_lead, state="failed") == ["Broken"]
    assert "Broken" not in names(as_lead, model=round.base_policy.pk)
    assert names(as_lead, round=1) == ["Round 1 samples", "Round 1 policy (DPO)", "Round 1 reward model"]
    assert names(as_lead, snapshot=1, recipe="dpo") == ["Careful beta", "Round 1 policy (DPO)"]
    assert names(as_lead, q="beta CAREFUL") == ["Careful beta"]
    assert names(as_lead, q=f"#{failed.pk}") == ["Broken"]
    assert names(as_lead, q="nothing like it") == []


def test_an_unknown_choice_is_said_at_its_field_and_leaves_the_list_as_it_is(as_lead: Client, round: Round) -> None:
    answer = as_lead.get(url(), {"state": "flying", "model": "x", "snapshot": "99"})
    assert {"state", "model", "snapshot"} <= set(answer.context["form"].errors)
    assert len(answer.context["page"]) == 3


def test_the_best_result_comes_first_within_its_recipe_also_where_less_is_better(
    as_lead: Client, project: Project
) -> None:
    for name, recipe, value in [
        ("dpo worse", "dpo", -0.2),
        ("sft better", "sft", 1.5),
        ("dpo better", "dpo", 10.0),
        ("sft worse", "sft", 2.25),
        ("dpo middle", "dpo", 9.0),
        ("dpo without", "dpo", None),
    ]:
        ended(project, name, recipe, value)
    assert names(as_lead, sort="result") == [
        "dpo better", "dpo middle", "dpo worse", "sft better", "sft worse", "dpo without",
    ]  # fmt: skip


def test_the_other_orders(as_lead: Client, project: Project) -> None:
    for name, minutes in [("b", 1), ("A", 3), ("c", 2)]:
        ended(project, name, "sft", 1.0, minutes)
    runs.create_run(project, "sample", {}, "d")
    assert names(as_lead) == ["d", "c", "A", "b"]
    assert names(as_lead, sort="oldest") == ["b", "A", "c", "d"]
    assert names(as_lead, sort="name") == ["A", "b", "c", "d"]
    assert names(as_lead, sort="longest") == ["A", "c", "b", "d"]
    assert names(as_lead, sort="started")[-1] == "d"


@pytest.mark.parametrize("sort", finding.SORTS)
def test_pinned_runs_stay_first_in_every_order(as_lead: Client, project: Project, sort: str) -> None:
    rows = [ended(project, name, "sft", value) for name, value in [("b", 1.0), ("z", 9.0), ("c", 0.5)]]
    finding.set_pinned(rows[1], True)
    assert names(as_lead, sort=sort)[0] == "z"
    assert names(as_lead, sort=sort, pinned="on") == ["z"]


def test_a_manager_pins_and_comes_back_to_the_list_as_it_was(as_lead: Client, project: Project) -> None:
    run = ended(project, "mine", "sft", 1.0)
    pin = reverse("run_pin", args=["garden", run.pk])
    answer = as_lead.post(pin, {"pinned": "1", "list": "recipe=sft&sort=name"})
    assert answer.headers["Location"] == f"{url()}?recipe=sft&sort=name"
    assert Run.objects.get(pk=run.pk).pinned
    assert as_lead.post(pin, {"pinned": "0"}).headers["Location"] == reverse("run", args=["garden", run.pk])
    assert not Run.objects.get(pk=run.pk).pinned
    assert as_lead.get(pin).status_code == 405


def test_a_manager_renames_a_run_and_its_model_keeps_its_name(
    client: Client, as_lead: Client, project: Project, reviewer: User
) -> None:
    run = ended(project, "mine", "sft", 1.0)
    there = reverse("run_name", args=["garden", run.pk])
    for sent in ("  Short \n answers ", "   "):
        assert as_lead.post(there, {"name": sent}).headers["Location"] == reverse("run", args=["garden", run.pk])
    assert Run.objects.get(pk=run.pk).name == "Short answers" and run.artifact.name == "mine"
    client.force_login(reviewer)
    assert client.post(there, {"name": "theirs"}).status_code == 403
    assert there not in client.get(reverse("run", args=["garden", run.pk])).content.decode()


def test_the_list_tells_model_and_method(as_lead: Client, project: Project) -> None:
    base = Artifact.objects.create(project=project, name="small <b>", location="/b")
    runs.create_run(project, "reward", {"adapter": "head"}, "first", model=base)
    page = as_lead.get(url()).content.decode()
    assert "small &lt;b&gt;" in page and "reward · head" in page


def test_where_the_pin_leads_back_to_is_a_list_of_ours(as_lead: Client, project: Project) -> None:
    run = ended(project, "mine", "sft", 1.0)
    answer = as_lead.post(
        reverse("run_pin", args=["garden", run.pk]), {"pinned": "1", "list": "//evil.example/\r\nX: y"}
    )
    assert answer.headers["Location"].startswith(url() + "?")
    assert "\r" not in answer.headers["Location"] and "//evil" not in answer.headers["Location"]


def test_pins_are_the_managers(client: Client, project: Project, reviewer: User, stranger: User) -> None:
    run = ended(project, "mine", "sft", 1.0)
    for person, status in ((reviewer, 403), (stranger, 404)):
        client.force_login(person)
        assert client.post(reverse("run_pin", args=["garden", run.pk]), {"pinned": "1"}).status_code == status
    client.force_login(reviewer)
    assert reverse("run_pin", args=["garden", run.pk]) not in client.get(url()).content.decode()


def test_the_list_says_for_what_a_run_waits_and_its_priority(as_lead: Client, project: Project) -> None:
    runs.create_run(project, "sample", {}, "mine", priority=Priority.HIGH)
    page = as_lead.get(url()).content.decode()
    assert "No worker is running." in page and "Priority: High" in page


def test_htmx_gets_the_table_alone(as_lead: Client, project: Project) -> None:
    ended(project, "mine", "sft", 1.0)
    answer = as_lead.get(url(), headers={"HX-Request": "true", "HX-Target": "runs_list"}).content.decode().strip()
    assert answer.startswith('<section id="runs_list"') and "mine" in answer


def test_a_page_further_on_keeps_what_was_asked_for(as_lead: Client, project: Project) -> None:
    for number in range(31):
        runs.create_run(project, "sample", {}, f"run {number}")
    page = as_lead.get(url(), {"recipe": "sample", "q": "", "sort": "name"}).content.decode()
    assert "?recipe=sample&amp;sort=name&amp;page=2" in page


def test_the_list_shows_result_and_duration_in_few_queries_however_long_it_is(
    as_lead: Client, project: Project, round: Round, django_assert_max_num_queries: Any
) -> None:
    complete(round.runs.get(stage=0), {"accuracy": figure(0.8)})
    complete(round.runs.get(stage=1), {"margin": figure(0.3), "accuracy": figure(0.6)})
    for number in range(25):
        ended(project, f"run {number}", "dpo", 0.1, snapshot=round.snapshot, model=round.base_policy)
        runs.create_run(project, "dpo", {}, f"queued {number}", round=None)
    with django_assert_max_num_queries(12):
        page = as_lead.get(url(), {"sort": "oldest"}).content.decode()
    assert "Held-out accuracy 80 % (70–90 %, n = 40)" in page
    assert "Share of held-out pairs with a positive margin 60 % (50–70 %, n = 40)" in page
    assert reverse("round_create", args=["garden"]) in page


def test_the_headline_of_a_policy_that_writes_its_own_responses_is_its_gain() -> None:
    from training.workflow.headlines import headline_of

    metrics = {"reward_before": figure(0.1), "reward_gain": figure(0.5)}
    assert headline_of(Artifact(manifest={"recipe": "ppo", "metrics": metrics})).name == "reward_gain"
    assert headline_of(Artifact(manifest={"recipe": "ppo", "metrics": {"kl": figure(0.5)}})).name == "kl"


def test_a_waiting_runs_priority_is_changed_on_its_page(as_lead: Client, round: Round, lead: User) -> None:
    run = round.runs.get(stage=0)
    change = reverse("run_priority", args=["garden", run.pk])
    page = as_lead.post(change, {"priority": "high"}, follow=True).content.decode()
    assert "Its priority is high from now on." in page
    assert "There is no priority “urgent”" in as_lead.post(change, {"priority": "urgent"}, follow=True).content.decode()
    begin(run)
    assert "does not wait any more" in as_lead.post(change, {"priority": "low"}, follow=True).content.decode()
    run.refresh_from_db()
    assert run.priority == Priority.HIGH


def test_the_priority_is_the_managers(client: Client, round: Round, reviewer: User) -> None:
    client.force_login(reviewer)
    run = round.runs.get(stage=0)
    change = reverse("run_priority", args=["garden", run.pk])
    assert client.post(change, {"priority": "high"}).status_code == 403
    assert change not in client.get(reverse("run", args=["garden", run.pk])).content.decode()


def test_the_column_by_which_the_list_is_ordered_says_so(as_lead: Client, round: Round) -> None:
    def heads(**query: str) -> list[tuple[str, str]]:
        return re.findall(r'aria-sort="(\w+)"><a [^>]*>(\w+)', as_lead.get(url(), query).content.decode())

    assert heads() == []
    assert heads(sort="name") == [("ascending", "Run")]
    assert heads(sort="longest") == [("descending", "Duration")]


@pytest.mark.parametrize("recipe", ["dpo", "kto", "orpo", "simpo"])
def test_the_best_policy_is_the_one_that_is_right_most_often_whatever_its_margin(
    recipe: str, as_lead: Client, project: Project
) -> None:
    """With ten times the beta a margin is ten times as large."""
    for name, accuracy, margin in (("right", 0.8, 0.1), ("loud", 0.6, 5.0)):
        run = ended(project, name, recipe, 0.5)
        run.artifact.manifest["metrics"] = {"margin": figure(margin), "accuracy": figure(accuracy)}
        run.artifact.save()
    assert names(as_lead, recipe=recipe, sort="result") == ["right", "loud"]
