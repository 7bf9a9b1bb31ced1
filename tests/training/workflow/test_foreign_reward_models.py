"""Reward models from elsewhere: taken for what they are, offered among the reward models, and at home on every page."""

import json
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from rest_framework.test import APIClient
from safetensors.torch import load_file, save_file

from annotate.models import Project, Prompt, Snapshot, User
from tests.training.foreign_reward import build_encoder_reward, build_foreign_reward
from training.forms import RunForm, SamplingForm
from training.models import Artifact, Run, Task
from training.workflow import artifacts, jobs, rounds, sampling, starting
from training.workflow.exceptions import ModelRefused
from training.workflow.lineage import lineage_of
from training.workflow.rewarders import rewarder_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return build_foreign_reward(tmp_path / "judge")


@pytest.fixture
def judge(project: Project, policy: Artifact, folder: Path) -> Artifact:
    return artifacts.register_base(project, "judge", str(folder))


def _refused(project: Project, folder: Path, words: str) -> None:
    with pytest.raises(ModelRefused, match=words) as refused:
        artifacts.register_base(project, "x", str(folder))
    assert refused.value.hint
    assert not Artifact.objects.filter(project=project).exists()


def _changed(folder: Path, **settings: Any) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **settings}))


def test_a_folder_tells_that_it_holds_a_reward_model(judge: Artifact, folder: Path) -> None:
    assert (judge.task, judge.is_adapter, judge.run, judge.manifest) == (Task.REWARD, False, None, {})
    assert artifacts.model_spec(judge) == {"base": str(folder), "adapters": []}


@pytest.mark.parametrize(
    ("said", "task"), [({"reward": True}, Task.REWARD), ({"encoder": True}, Task.ENCODER), ({}, Task.POLICY)]
)
def test_of_a_hub_id_one_has_to_say_so(project: Project, said: dict[str, bool], task: Task) -> None:
    assert artifacts.register_base(project, "hub", "owner/name", **said).task == task


def test_a_hub_id_cannot_be_both(project: Project) -> None:
    with pytest.raises(ModelRefused, match="not both"):
        artifacts.register_base(project, "hub", "owner/name", encoder=True, reward=True)


def test_a_policy_in_a_folder_stays_one_whatever_is_said(project: Project, model_folder: Path) -> None:
    assert artifacts.register_base(project, "speaks", str(model_folder), reward=True).task == Task.POLICY


def test_a_classifier_of_several_labels_is_refused_with_their_number(project: Project, tmp_path: Path) -> None:
    _refused(project, build_foreign_reward(tmp_path / "two", labels=3), "LlamaForSequenceClassification with 3 labels")


def test_labels_that_are_not_named_are_two_as_transformers_has_it(project: Project, folder: Path) -> None:
    _changed(folder, id2label=None)
    _refused(project, folder, "with 2 labels")
    _changed(folder, num_labels=1)
    assert artifacts.register_base(project, "one", str(folder)).task == Task.REWARD


def test_a_classifier_with_another_head_is_refused_before_a_run_finds_out(project: Project, folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    weights["classifier.weight"] = weights.pop("score.weight")
    save_file(weights, folder / "model.safetensors")
    _refused(project, folder, "no head called “score”")


def test_the_head_is_found_by_the_index_of_a_model_in_parts(project: Project, folder: Path) -> None:
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"model.norm.weight": "model.safetensors"}}))
    _refused(project, folder, "no head called “score”")
    index.write_text(json.dumps({"weight_map": {"score.weight": "model.safetensors"}}))
    assert artifacts.register_base(project, "in parts", str(folder)).task == Task.REWARD


def test_pickles_and_a_missing_template_are_refused_as_of_any_model(project: Project, folder: Path) -> None:
    (folder / "chat_template.jinja").unlink()
    _refused(project, folder, "no chat template")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    _refused(project, folder, "pickle")


def test_it_is_offered_where_something_is_scored_and_to_start_from_nowhere(
    project: Project, policy: Artifact, judge: Artifact
) -> None:
    for recipe in starting.REWARDED:
        form = RunForm(project, recipe)
        assert judge in form.fields["reward_model"].queryset
        assert list(form.fields["model"].queryset) == [policy]
    assert list(SamplingForm(project).fields["reward_model"].queryset) == [judge]


@pytest.mark.parametrize("recipe", starting.REWARDED)
def test_a_policy_is_trained_with_it(
    project: Project, snapshot: Snapshot, policy: Artifact, judge: Artifact, recipe: str, tmp_path: Path
) -> None:
    run = starting.start_training(project, recipe, snapshot, policy, {}, reward_model=judge)
    assert jobs.job_of(run, tmp_path)["reward_model"] == {"base": judge.location, "adapters": []}
    assert lineage_of(judge).children == []


def test_samples_are_scored_with_it(
    project: Project, policy: Artifact, judge: Artifact, prompts: list[Prompt], tmp_path: Path
) -> None:
    run = sampling.start_sampling(project, policy, {}, prompts, reward_model=judge)
    assert jobs.job_of(run, tmp_path)["reward_model"] == {"base": judge.location, "adapters": []}


def test_nothing_is_trained_on_it(project: Project, snapshot: Snapshot, judge: Artifact) -> None:
    with pytest.raises(ModelRefused, match="is a reward model"):
        starting.start_training(project, "reward", snapshot, judge, {})
    with pytest.raises(ModelRefused, match="is a reward model"):
        rounds.start_round(project, snapshot, judge)
    assert not Run.objects.exists()


@pytest.mark.parametrize("name", ["model", "model_card", "model_card_file", "model_export", "model_delete"])
def test_its_pages_do_without_a_manifest(client: Client, lead: User, judge: Artifact, name: str) -> None:
    client.force_login(lead)
    answer = client.get(reverse(name, args=["garden", judge.pk]))
    assert answer.status_code == 200
    assert "judge" in answer.content.decode()


def test_the_lists_and_forms_name_it(client: Client, lead: User, judge: Artifact) -> None:
    client.force_login(lead)
    models = client.get(reverse("models", args=["garden"])).content.decode()
    assert "Reward model" in models and "from elsewhere" in models
    assert "judge" in client.get(reverse("playgrounds", args=["garden"])).content.decode()
    assert "reward model" in client.get(reverse("model_register", args=["garden"])).content.decode()


def test_an_export_on_an_encoder_is_told_from_one_on_a_decoder(
    client: Client, lead: User, project: Project, tmp_path: Path
) -> None:
    exported = build_encoder_reward(tmp_path / "exported")
    scorer = artifacts.register_base(project, "reads", str(exported))
    assert scorer.task == Task.REWARD
    client.force_login(lead)
    card = client.get(reverse("model_card_file", args=["garden", scorer.pk])).content.decode()
    assert "AutoModelForSequenceClassification" not in card


def test_what_it_takes_is_estimated_as_a_model_of_its_own(policy: Artifact, judge: Artifact) -> None:
    found = rewarder_of(judge, policy)
    assert (found.config, found.model.layers) == (None, 2)


def test_its_card_claims_nothing_that_nobody_measured(client: Client, lead: User, judge: Artifact) -> None:
    client.force_login(lead)
    card = client.get(reverse("model_card_file", args=["garden", judge.pk])).content.decode()
    assert "AutoModelForSequenceClassification" in card
    assert "None" not in card


def test_it_is_deleted_and_its_folder_left_alone(client: Client, lead: User, judge: Artifact, folder: Path) -> None:
    client.force_login(lead)
    assert client.post(reverse("model_delete", args=["garden", judge.pk])).status_code == 302
    assert not Artifact.objects.filter(pk=judge.pk).exists()
    assert (folder / "model.safetensors").is_file()
    assert client.get(reverse("model", args=["garden", judge.pk])).status_code == 200


def test_page_and_api_register_it(client: Client, lead: User, project: Project, folder: Path) -> None:
    client.force_login(lead)
    client.post(reverse("model_register", args=["garden"]), {"name": "by page", "location": str(folder)})
    client.post(reverse("model_register", args=["garden"]), {"name": "hub", "location": "o/n", "reward": "on"})
    api = APIClient()
    api.force_authenticate(lead)
    given = {"name": "by api", "location": "owner/name", "reward": True}
    answer = api.post("/api/v1/projects/garden/models/", given, format="json")
    assert (answer.status_code, answer.json()["task"]) == (201, "reward")
    found = dict(Artifact.objects.filter(project=project).values_list("name", "task"))
    assert found == {"by page": "reward", "hub": "reward", "by api": "reward"}
