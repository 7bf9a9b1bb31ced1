"""Encoders: taken for what they are, offered to reward models alone, and refused elsewhere with the reason."""

import json
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client

from annotate.models import Project, Snapshot
from tests.training.ml.encoders import build_encoder
from tests.training.views.test_forms import sent_back
from training.forms import RoundForm, RunForm, SamplingForm
from training.models import Artifact, Run, Task
from training.workflow import artifacts, jobs, rounds, starting
from training.workflow.exceptions import BadConfig, ModelRefused

pytestmark = pytest.mark.django_db


@pytest.fixture(scope="session")
def encoder_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_encoder(tmp_path_factory.mktemp("encoder") / "bert")


@pytest.fixture
def encoder(project: Project, policy: Artifact, encoder_folder: Path) -> Artifact:
    """Newer than the policy."""
    return artifacts.register_base(project, "reader", str(encoder_folder))


def test_a_folder_tells_that_it_holds_an_encoder_and_needs_no_chat_template(encoder: Artifact) -> None:
    assert encoder.task == Task.ENCODER
    assert artifacts.model_spec(encoder) == {"base": encoder.location, "adapters": []}


@pytest.mark.parametrize("changed", [{"architectures": ["BertForSequenceClassification"]}, {"model_type": "t5"}])
def test_what_was_made_for_something_else_or_was_never_tried_is_refused(
    project: Project, encoder_folder: Path, tmp_path: Path, changed: dict[str, Any]
) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in encoder_folder.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({**config, **changed}))
    with pytest.raises(ModelRefused, match="no causal language model") as refused:
        artifacts.register_base(project, "x", str(copy))
    assert "roberta" in refused.value.hint


@pytest.mark.parametrize(("said", "task"), [(True, Task.ENCODER), (False, Task.POLICY)])
def test_of_a_hub_id_one_has_to_say_so(project: Project, said: bool, task: Task) -> None:
    assert artifacts.register_base(project, "hub", "owner/name", encoder=said).task == task


def test_a_policy_in_a_folder_stays_one_whatever_is_said(project: Project, model_folder: Path) -> None:
    assert artifacts.register_base(project, "speaks", str(model_folder), encoder=True).task == Task.POLICY


def test_a_reward_run_may_begin_with_one(
    project: Project, snapshot: Snapshot, encoder: Artifact, tmp_path: Path
) -> None:
    run = starting.start_training(project, "reward", snapshot, encoder, {"adapter": "head"})
    assert jobs.job_of(run, tmp_path)["model"] == {"base": encoder.location, "adapters": []}
    with pytest.raises(BadConfig, match="not offered on an encoder") as refused:
        starting.start_training(project, "reward", snapshot, encoder, {"adapter": "prefix"})
    assert refused.value.where == "reward.adapter" and "LoRA" in refused.value.hint


@pytest.mark.parametrize("recipe", [name for name in starting.TRAINED if name not in ("reward", "sft")])
def test_no_other_recipe_may(project: Project, snapshot: Snapshot, encoder: Artifact, recipe: str) -> None:
    scorer = Artifact.objects.create(project=project, name="scorer", task=Task.REWARD, location="/scorer")
    more = {"reward_model": scorer} if recipe in starting.REWARDED else {}
    with pytest.raises(ModelRefused, match="is an encoder") as refused:
        starting.start_training(project, recipe, snapshot, encoder, {}, **more)
    assert refused.value.where == "model"
    assert not Run.objects.exists()


def test_nor_may_a_round(project: Project, snapshot: Snapshot, encoder: Artifact) -> None:
    with pytest.raises(ModelRefused, match="is an encoder") as refused:
        rounds.start_round(project, snapshot, encoder)
    assert refused.value.where == "base_policy"


def test_only_the_form_of_a_reward_run_offers_it_after_the_policies(
    project: Project, policy: Artifact, encoder: Artifact
) -> None:
    form = RunForm(project, "reward")
    assert list(form.fields["model"].queryset) == [encoder, policy]
    assert form.fields["model"].initial == policy
    assert f"{encoder} (encoder)" in str(form["model"])
    others = [RunForm(project, recipe).fields["model"] for recipe in starting.TRAINED if recipe != "reward"]
    others += [RoundForm(project).fields["base_policy"], SamplingForm(project).fields["model"]]
    assert all(list(field.queryset) == [policy] for field in others)


def test_the_command_takes_it_by_its_name_and_a_policy_without_one(
    project: Project, snapshot: Snapshot, policy: Artifact, encoder: Artifact
) -> None:
    settings = ["adapter=head", "head_l2=0.5", "ties=davidson", "members=3", "soft_labels=true", "group_by_prompt=true"]
    asked = [part for setting in settings for part in ("--set", setting)]
    call_command("train", "garden", "--recipe", "reward", "--model", "reader", *asked)
    run = Run.objects.get()
    assert run.model == encoder
    assert {name: run.config[name] for name in ("adapter", "head_l2", "ties", "members", "soft_labels")} == {
        "adapter": "head", "head_l2": 0.5, "ties": "davidson", "members": 3, "soft_labels": True,
    }  # fmt: skip
    assert artifacts.start_named(project, "reward") == policy
    with pytest.raises(CommandError, match="no policy called “reader”"):
        call_command("train", "garden", "--recipe", "dpo", "--model", "reader")


def test_the_pages_register_one_and_start_a_reward_run_from_it(
    client: Client, project: Project, snapshot: Snapshot, lead: Any, encoder_folder: Path
) -> None:
    client.force_login(lead)
    client.post("/p/garden/models/register/", {"name": "reader", "location": str(encoder_folder)})
    encoder = Artifact.objects.get(name="reader")
    page = client.get(f"/p/garden/models/{encoder.pk}/").content.decode()
    address = f"/p/garden/runs/new/?recipe=reward&amp;model={encoder.pk}"
    assert "Encoder" in page and address in page and "Round from it" not in page
    asked = {"model": encoder.pk, "snapshot": snapshot.pk, "seed": 0}
    refused = client.post("/p/garden/runs/new/?recipe=reward", {**sent_back("reward", adapter="qlora"), **asked})
    assert refused.status_code == 200 and "not offered on an encoder" in refused.content.decode()
    answer = client.post("/p/garden/runs/new/?recipe=reward", {**sent_back("reward", adapter="head"), **asked})
    assert answer.status_code == 302
    assert Run.objects.get().model == encoder


def test_a_job_names_the_ties_of_a_snapshot_that_keeps_them(
    project: Project, snapshot: Snapshot, policy: Artifact, tmp_path: Path
) -> None:
    run = starting.start_training(project, "reward", snapshot, policy, {})
    folder = Path(snapshot.folder)
    for name in ("ties_train.parquet", "ties_test.parquet"):
        (folder / name).unlink(missing_ok=True)
    assert set(jobs.job_of(run, tmp_path)["data"]) == {"train", "test", "snapshot_hash"}
    (folder / "ties_train.parquet").write_bytes(b"")
    found = jobs.job_of(run, tmp_path)["data"]
    assert found["ties_train"] == str(folder / "ties_train.parquet") and "ties_test" not in found
