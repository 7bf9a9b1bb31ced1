"""A run like an earlier one, with changes: by the form, the API and the command."""

import json
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from annotate.models import Project, Snapshot, User
from annotate.workflow.feedback import import_feedback
from annotate.workflow.projects import create_project
from training.models import Artifact, DeviceWish, Priority, Run, RunState
from training.workflow import cloning, runs, starting
from training.workflow.exceptions import BadConfig, BadInput, ModelRefused, WorkflowError

pytestmark = pytest.mark.django_db
RUNS = "/api/v1/projects/garden/runs/"


@pytest.fixture
def source(project: Project, policy: Artifact, snapshot: Snapshot) -> Run:
    config = {"adapter": "prefix", "beta": 0.3, "epochs": 4}
    more = {"seed": 7, "priority": Priority.HIGH, "device": DeviceWish.CPU}
    return starting.start_training(project, "dpo", snapshot, policy, config, **more)


@pytest.fixture
def as_lead(client: Client, lead: User) -> Client:
    client.force_login(lead)
    return client


def form_of(client: Client, run: Run) -> tuple[str, dict[str, Any]]:
    """The address of the form, and what it sends when nothing is touched."""
    url = f"{reverse('run_create', args=['garden'])}?recipe={run.recipe}&from={run.pk}"
    page = client.get(url)
    assert page.status_code == 200
    fields = [*page.context["form"], *page.context["settings"]]
    values = {field.html_name: field.value() for field in fields}
    return url, {name: value for name, value in values.items() if value is not None and value is not False}


def test_a_clone_has_the_inputs_settings_and_turn_of_its_source_but_for_the_changes(source: Run, lead: User) -> None:
    made = cloning.clone(source, {"beta": 0.5}, actor=lead)
    assert made.config == {**source.config, "beta": 0.5}
    for name in cloning.INPUTS:
        assert getattr(made, name) == getattr(source, name), name
    assert (made.state, made.created_by, made.attempt) == (RunState.QUEUED, lead, 0)


def test_a_customary_learning_rate_goes_with_the_adapter_and_one_that_was_given_stays(
    source: Run, as_lead: Client, project: Project, policy: Artifact, snapshot: Snapshot
) -> None:
    assert source.config["learning_rate"] == 2.5e-4
    assert cloning.clone(source, {}).config == source.config
    assert cloning.clone(source, {"adapter": "full"}).config["learning_rate"] == 5e-6
    assert cloning.clone(source, {"adapter": "full", "learning_rate": 0.1}).config["learning_rate"] == 0.1
    url, sent = form_of(as_lead, source)
    assert "dpo-learning_rate" not in sent and 'placeholder="0.00025"' in as_lead.get(url).content.decode()
    config = {"adapter": "full", "learning_rate": 5e-5}
    before = starting.start_training(project, "dpo", snapshot, policy, config)
    assert cloning.clone(before, {"adapter": "lora", "rank": 4}).config["learning_rate"] == 5e-5
    assert cloning.clone(before, {"adapter": "prefix"}).config["learning_rate"] == 5e-5
    assert form_of(as_lead, before)[1]["dpo-learning_rate"] == 5e-5


def test_a_clone_on_feedback_leaves_the_snapshot_and_the_reverse(
    project: Project, policy: Artifact, snapshot: Snapshot
) -> None:
    lines = [f'{{"prompt": "How {n}?", "completion": "So.", "label": true}}\n' for n in range(8)]
    thumbs = import_feedback(project=project, name="thumbs", lines=lines)[0]
    of_pairs = starting.start_training(project, "kto", snapshot, policy, {"beta": 0.3})
    of_votes = cloning.clone(of_pairs, {}, feedback=thumbs)
    assert (of_votes.snapshot, of_votes.feedback, of_votes.config["beta"]) == (None, thumbs, 0.3)
    assert cloning.clone(of_votes, {}).feedback == thumbs
    back = cloning.clone(of_votes, {}, snapshot=snapshot)
    assert (back.snapshot, back.feedback) == (snapshot, None)


def test_a_model_that_has_been_deleted_since_is_refused(source: Run) -> None:
    Artifact.objects.filter(pk=source.model_id).update(deleted_at=timezone.now())
    with pytest.raises(ModelRefused, match="has been deleted"):
        cloning.clone(Run.objects.get(pk=source.pk), {})


@pytest.mark.parametrize("recipe", ["merge", "export"])
def test_what_trains_nothing_is_no_source_of_a_training(
    as_lead: Client, project: Project, policy: Artifact, recipe: str
) -> None:
    config = {"folder": "garden"} if recipe == "export" else {}
    run = runs.create_run(project, recipe, config, "done", model=policy)
    with pytest.raises(WorkflowError, match="trains nothing"):
        cloning.clone(run, {})
    page = as_lead.get(reverse("run", args=["garden", run.pk]))
    assert "Clone with changes" not in page.content.decode()
    assert as_lead.get(reverse("run_create", args=["garden"]), {"recipe": recipe, "from": run.pk}).status_code == 404
    both = {"run": [run.pk, runs.create_run(project, recipe, config, "again", model=policy).pk]}
    assert as_lead.get(reverse("runs_compare", args=["garden"]), both).status_code == 200
    assert as_lead.get(reverse("runs", args=["garden"]), {"sort": "result"}).status_code == 200


def test_a_change_is_checked_as_any_setting(source: Run) -> None:
    with pytest.raises(BadConfig, match=r"dpo\.betta"):
        cloning.clone(source, {"betta": 1})
    with pytest.raises(BadInput, match="“dpo”, not “reward”"):
        cloning.clone(source, {}, recipe="reward")
    assert Run.objects.count() == 1


def test_a_setting_of_an_older_version_is_left_behind_and_named(as_lead: Client, source: Run) -> None:
    source.config["bygone"] = 3
    source.save()
    assert "bygone" not in cloning.clone(source, {}).config
    page = as_lead.get(f"{reverse('run_create', args=['garden'])}?recipe=dpo&from={source.pk}").content.decode()
    assert "not known any more: bygone" in page


def test_the_form_comes_filled_in_and_sent_back_untouched_makes_the_same_run(as_lead: Client, source: Run) -> None:
    url, sent = form_of(as_lead, source)
    answer = as_lead.post(url, sent)
    assert answer.status_code == 302, (answer.context["form"].errors, answer.context["settings"].errors)
    made = Run.objects.first()
    assert made != source and made.config == source.config
    for name in cloning.INPUTS:
        assert getattr(made, name) == getattr(source, name), name


def test_the_form_takes_a_change(as_lead: Client, source: Run) -> None:
    url, sent = form_of(as_lead, source)
    as_lead.post(url, {**sent, "dpo-beta": "0.9", "priority": "-1", "seed": "8"})
    made = Run.objects.first()
    assert (made.config["beta"], made.priority, made.seed) == (0.9, Priority.LOW, 8)


def test_the_page_of_a_run_leads_to_its_clone(as_lead: Client, source: Run) -> None:
    page = as_lead.get(reverse("run", args=["garden", source.pk])).content.decode()
    assert f"{reverse('run_create', args=['garden'])}?recipe=dpo&amp;from={source.pk}" in page


def test_a_sampling_is_done_again_with_as_many_prompts(as_lead: Client, project: Project, policy: Artifact) -> None:
    more = {"model": policy, "prompts": [], "priority": Priority.LOW}
    run = runs.create_run(project, "sample", {"temperature": 0.3}, "samples", **more)
    Run.objects.filter(pk=run.pk).update(prompt_ids=[1, 2, 3])
    page = as_lead.get(f"{reverse('sampling_create', args=['garden'])}?from={run.pk}")
    assert page.context["form"]["prompts"].value() == 3 and page.context["settings"]["temperature"].value() == 0.3
    assert page.context["form"]["priority"].value() == Priority.LOW


@pytest.mark.parametrize("asked", ["x", "99999", "-1"])
def test_a_source_that_is_none_is_not_found(as_lead: Client, source: Run, asked: str) -> None:
    assert as_lead.get(reverse("run_create", args=["garden"]), {"recipe": "dpo", "from": asked}).status_code == 404


def test_a_source_of_another_project_or_recipe_is_not_found(as_lead: Client, source: Run, lead: User) -> None:
    other = create_project(slug="other", name="Other", manager=lead, guideline="x", summary="y")
    secret = runs.create_run(other, "dpo", {}, "secret")
    url = reverse("run_create", args=["garden"])
    assert as_lead.get(url, {"recipe": "dpo", "from": secret.pk}).status_code == 404
    assert as_lead.get(url, {"recipe": "kto", "from": source.pk}).status_code == 404
    body = {"from": secret.pk}
    assert as_lead.post(RUNS, body, content_type="application/json").status_code == 404


def test_the_api_clones_with_changes(as_lead: Client, source: Run) -> None:
    body = {"from": source.pk, "config": {"beta": 0.9}, "priority": "low"}
    answer = as_lead.post(RUNS, body, content_type="application/json")
    assert answer.status_code == 201, answer.json()
    told = answer.json()
    assert (told["config"]["beta"], told["config"]["adapter"], told["seed"]) == (0.9, "prefix", 7)
    assert (told["priority"], told["device"], told["waits_for"]) == ("low", "cpu", "No worker is running.")
    refused = as_lead.post(RUNS, {**body, "recipe": "reward"}, content_type="application/json")
    assert (refused.status_code, refused.json()["field"]) == (400, "recipe")


def test_without_a_source_the_api_needs_recipe_and_model(as_lead: Client, source: Run) -> None:
    answer = as_lead.post(RUNS, {"snapshot": 1}, content_type="application/json")
    assert answer.status_code == 400 and {one["field"] for one in answer.json()["errors"]} == {"recipe", "model"}


def test_the_api_renames_a_run_and_not_to_nothing(as_lead: Client, source: Run) -> None:
    address = f"{RUNS}{source.pk}/name/"
    told = as_lead.post(address, {"name": " a  better\tname "}, content_type="application/json")
    assert told.json()["name"] == Run.objects.get(pk=source.pk).name == "a better name"
    for name in ("", "  ", "x" * 121):
        answer = as_lead.post(address, {"name": name}, content_type="application/json")
        assert (answer.status_code, answer.json()["field"]) == (400, "name")
    assert Run.objects.get(pk=source.pk).name == "a better name"


def test_the_api_finds_pins_and_changes_the_turn(as_lead: Client, source: Run) -> None:
    one = f"{RUNS}{source.pk}/"
    pinned = as_lead.post(f"{one}pin/", {"pinned": True}, content_type="application/json")
    assert pinned.json()["pinned"] is True
    assert as_lead.get(RUNS, {"pinned": "true", "recipe": "dpo"}).json()["count"] == 1
    assert as_lead.get(RUNS, {"recipe": "sft"}).json()["count"] == 0
    assert as_lead.get(RUNS, {"recipe": "x"}).status_code == 400
    low = as_lead.post(f"{one}priority/", {"priority": "low"}, content_type="application/json")
    assert low.json()["priority"] == "low"
    assert as_lead.post(f"{one}priority/", {"priority": "2"}, content_type="application/json").status_code == 400
    runs.claim(source, "h:gpu0", "h:1")
    late = as_lead.post(f"{one}priority/", {"priority": "high"}, content_type="application/json")
    assert (late.status_code, late.json()["code"]) == (409, "HasBegun")


def test_the_command_clones_with_changes(source: Run) -> None:
    out = StringIO()
    call_command(
        "train", "garden", "--from", str(source.pk), "--set", "beta=0.7", "--device", "any", "--json", stdout=out
    )
    made = Run.objects.get(pk=json.loads(out.getvalue())["run"])
    assert (made.config["beta"], made.config["adapter"], made.seed) == (0.7, "prefix", 7)
    assert (made.priority, made.device) == (Priority.HIGH, DeviceWish.ANY)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--from", "99999"], "no run 99999"),
        ([], "--recipe"),
        (["--recipe", "reward", "--from", "SOURCE"], "“dpo”, not “reward”"),
    ],
)
def test_the_command_says_what_is_wrong(source: Run, arguments: list[str], words: str) -> None:
    given = [str(source.pk) if argument == "SOURCE" else argument for argument in arguments]
    with pytest.raises(CommandError, match=words):
        call_command("train", "garden", *given)
    assert Run.objects.count() == 1


def test_the_list_of_the_api_asks_no_more_for_many(
    as_lead: Client, source: Run, django_assert_max_num_queries: Any
) -> None:
    for _number in range(8):
        cloning.clone(source, {})
    with django_assert_max_num_queries(9):
        assert as_lead.get(RUNS).json()["count"] == 9
