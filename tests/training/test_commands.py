"""The commands of the right wing: thin over the verbs, with one clear line when something is wrong."""

import json
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone
from rest_framework.test import APIClient

from annotate.models import DemonstrationSet, Project, Snapshot, User
from annotate.workflow.demonstrations import import_demonstrations
from annotate.workflow.feedback import import_feedback
from tests.factories import make_comparisons, make_prompts
from training.forms.round import RoundForm
from training.models import Artifact, Round, Run, RunState
from training.workflow import runs, starting

pytestmark = pytest.mark.django_db(transaction=True)


def _json(*arguments: object) -> dict:
    out = StringIO()
    call_command(*map(str, arguments), "--json", stdout=out)
    return json.loads(out.getvalue())


@pytest.mark.slow
@pytest.mark.usefixtures("forked")
def test_sample_waits_and_reports(project: Project, policy: Artifact) -> None:
    make_prompts(project, 5)
    told = _json("sample", "garden", "--prompts", 3, "--set", "max_new_tokens=6", "--wait")
    assert (told["state"], told["result"]["samples"]) == ("succeeded", 6)
    assert Run.objects.get().config["max_new_tokens"] == 6
    assert project.batches.get().name == told["batch"]


@pytest.mark.slow
@pytest.mark.usefixtures("forked")
def test_a_bench_whose_command_was_ended_goes_on(project: Project, policy: Artifact, snapshot: Snapshot) -> None:
    """One run was in the hands of a worker that is gone, another had not begun."""
    quick = ["--set", "epochs=1", "--set", "batch_size=8", "--set", "max_length=128"]
    call_command("peft_bench", "garden", "--methods", "lora,ia3", *quick, stdout=StringIO())
    begun = Run.objects.earliest("pk")
    assert runs.claim(begun, "cpu:0", "nobody@nowhere")
    Run.objects.filter(pk=begun.pk).update(heartbeat_at=timezone.now() - timedelta(hours=1))
    with pytest.raises(CommandError, match="has failed or was cancelled"):
        call_command("peft_bench", "garden", "--resume", "1")
    assert _json("peft_bench", "garden", "--resume", 1, "--wait")["state"] == "done"
    assert begun.events.filter(detail__contains="heard of its worker nobody@nowhere").exists()


def test_sample_compares_with_the_model_that_is_named(project: Project, policy: Artifact) -> None:
    make_prompts(project, 2)
    old = Artifact.objects.create(project=project, name="old", task="policy", location=policy.location)
    call_command("sample", "garden", "--model", "fixture", "--reference", "old", stdout=StringIO())
    assert (Run.objects.get().model, Run.objects.get().reference_model) == (policy, old)
    with pytest.raises(CommandError, match="“fixture”"):
        call_command("sample", "garden", "--reference", "nope")


def test_without_wait_the_run_is_left_to_the_worker(project: Project, policy: Artifact) -> None:
    make_prompts(project, 2)
    out = StringIO()
    call_command("sample", "garden", stdout=out)
    assert Run.objects.get().state == RunState.QUEUED
    assert "2 prompts" in out.getvalue()


@pytest.mark.usefixtures("forked")
def test_a_failed_run_is_told_with_its_reason(project: Project, policy: Artifact) -> None:
    make_prompts(project, 2)
    Artifact.objects.update(location="/no/such/model")
    with pytest.raises(CommandError, match="/no/such/model"):
        call_command("sample", "garden", "--wait")


def test_an_unknown_project_lists_the_known_ones(project: Project) -> None:
    with pytest.raises(CommandError, match="garden"):
        call_command("sample", "gardn")


def test_a_project_without_a_model_is_told_what_to_do(project: Project) -> None:
    with pytest.raises(CommandError, match="Register a base model"):
        call_command("sample", "garden")


def test_an_unknown_model_lists_the_known_ones(project: Project, policy: Artifact) -> None:
    with pytest.raises(CommandError, match="“fixture”"):
        call_command("sample", "garden", "--model", "nope")


@pytest.mark.parametrize(
    ("setting", "words"), [("temperature=9", "temperature"), ("nonsense=1", "nonsense"), ("x", "name=value")]
)
def test_a_wrong_setting_is_named(project: Project, policy: Artifact, setting: str, words: str) -> None:
    make_prompts(project, 2)
    with pytest.raises(CommandError, match=words):
        call_command("sample", "garden", "--set", setting)
    assert not Run.objects.exists()


@pytest.mark.parametrize("command", [["train", "garden", "--recipe", "reward"], ["round", "garden"]])
def test_training_needs_a_snapshot(project: Project, policy: Artifact, command: list[str]) -> None:
    make_comparisons(project, 2)
    with pytest.raises(CommandError, match=r"manage\.py snapshot garden"):
        call_command(*command)
    assert not Round.objects.exists()


def _snapshot(project: Project) -> Snapshot:
    counts = {"won_by_a": 5, "won_by_b": 5, "train": 8, "test": 2}
    rest = {"content_hash": "x", "query": {}, "guideline_versions": [], "folder": "/x"}
    return Snapshot.objects.create(project=project, number=1, counts=counts, **rest)


def _demonstrations(project: Project) -> DemonstrationSet:
    lines = [f'{{"prompt": "How {n}?", "response": "So."}}\n' for n in range(8)]
    return import_demonstrations(project=project, name="manners", lines=lines)[0]


def test_train_starts_every_recipe_with_the_newest_of_what_it_needs(project: Project, policy: Artifact) -> None:
    snapshot, demonstrations = _snapshot(project), _demonstrations(project)
    scorer = Artifact.objects.create(project=project, name="scorer", task="reward", location="/scorer", parent=policy)
    for recipe in starting.TRAINED:
        call_command("train", "garden", "--recipe", recipe, "--set", "adapter=ia3", stdout=StringIO())
        run = Run.objects.first()
        assert (run.recipe, run.config["adapter"], run.model) == (recipe, "ia3", policy)
        assert run.snapshot == (None if recipe == "sft" else snapshot)
        assert run.demonstrations == (demonstrations if recipe == "sft" else None)
        assert run.reward_model == (scorer if recipe in starting.REWARDED else None)


def test_train_takes_single_votes_in_place_of_a_snapshot(project: Project, policy: Artifact) -> None:
    lines = [f'{{"prompt": "How {n}?", "completion": "So.", "label": true}}\n' for n in range(8)]
    thumbs = import_feedback(project=project, name="thumbs", lines=lines)[0]
    call_command("train", "garden", "--recipe", "kto", "--feedback", "thumbs", stdout=StringIO())
    run = Run.objects.get()
    assert (run.feedback, run.snapshot) == (thumbs, None)
    snapshot = _snapshot(project)
    call_command("train", "garden", "--from", run.pk, "--snapshot", snapshot.number, stdout=StringIO())
    assert (Run.objects.first().feedback, Run.objects.first().snapshot) == (None, snapshot)
    call_command("train", "garden", "--from", Run.objects.first().pk, "--feedback", "thumbs", stdout=StringIO())
    assert Run.objects.first().feedback == thumbs


def test_train_gives_the_run_the_name_that_is_asked_for(project: Project, policy: Artifact) -> None:
    _snapshot(project)
    call_command("train", "garden", "--recipe", "dpo", "--name", "first-dpo", stdout=StringIO())
    first = Run.objects.get()
    call_command("train", "garden", "--from", first.pk, "--name", "again", stdout=StringIO())
    assert (first.name, Run.objects.first().name) == ("first-dpo", "again")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--recipe", "kto", "--feedback", "nope"], "no feedback called “nope”. There are: none"),
        (["--recipe", "ppo"], "no reward model yet"),
        (["--recipe", "ppo", "--reward-model", "nope"], "no reward model called “nope”"),
        (["--recipe", "sft", "--demonstrations", "nope"], "no demonstrations called “nope”"),
        (["--recipe", "sft", "--snapshot", "1"], "not from a snapshot"),
        (["--recipe", "sample"], "invalid choice"),
    ],
)
def test_train_says_what_is_missing(project: Project, policy: Artifact, arguments: list[str], words: str) -> None:
    _snapshot(project)
    _demonstrations(project)
    with pytest.raises(CommandError, match=words):
        call_command("train", "garden", *arguments)
    assert not Run.objects.exists()


def test_a_round_of_any_method_after_demonstrations(project: Project, policy: Artifact) -> None:
    _snapshot(project)
    _demonstrations(project)
    make_prompts(project, 3)
    asked = ["--policy", "rloo", "--demonstrations", "manners", "--set", "rloo.epochs=2"]
    call_command("round", "garden", *asked, stdout=StringIO())
    stages = list(Round.objects.get().runs.order_by("stage"))
    assert [stage.recipe for stage in stages] == ["sft", "reward", "rloo", "sample"]
    assert stages[2].config["epochs"] == 2
    with pytest.raises(CommandError, match="no stage “dpo”"):
        call_command("round", "garden", "--policy", "kto", "--set", "dpo.epochs=2")


def test_command_api_and_page_ask_for_as_many_prompts_where_none_is_named(
    project: Project, policy: Artifact, lead: User
) -> None:
    _snapshot(project)
    make_prompts(project, 45)
    call_command("round", "garden", stdout=StringIO())
    client = APIClient()
    client.force_authenticate(lead)
    asked = {"snapshot": 1, "base_policy": policy.pk}
    assert client.post("/api/v1/projects/garden/rounds/", asked, format="json").status_code == 201
    numbers = [len(run.prompt_ids) for run in Run.objects.filter(recipe="sample")]
    assert numbers == [RoundForm(project)["fresh_prompts"].initial] * 2 == [20, 20]


@pytest.mark.parametrize(
    ("command", "option"),
    [
        *((name, ("--seed", value)) for name in ("train", "round", "sample", "peft_bench") for value in (-1, 2**63)),
        *((name, ("--prompts", value)) for name in ("round", "sample") for value in (-1, 0, 10**30)),
    ],
)
def test_a_number_that_nothing_takes_queues_nothing(
    project: Project, policy: Artifact, snapshot: Snapshot, command: str, option: tuple[str, int]
) -> None:
    more = ["--recipe", "dpo"] if command == "train" else []
    with pytest.raises(CommandError, match="This must be a whole number from"):
        call_command(command, "garden", *more, f"{option[0]}={option[1]}")
    assert not Run.objects.exists()


def test_snapshot_zero_is_not_the_newest(project: Project, policy: Artifact, snapshot: Snapshot) -> None:
    with pytest.raises(CommandError, match="no snapshot 0"):
        call_command("train", "garden", "--recipe", "dpo", "--snapshot", "0")
    source = starting.start_training(project, "dpo", snapshot, policy, {})
    with pytest.raises(CommandError, match="no snapshot 0"):
        call_command("train", "garden", "--from", str(source.pk), "--snapshot", "0")
    assert Run.objects.get() == source
