"""Deleting a model: what forbids it, what goes, and what stays and still names it."""

from pathlib import Path

import pytest

from annotate.models import Project, Prompt, Snapshot, User
from annotate.workflow.intake import store_response
from annotate.workflow.projects import create_project
from tests.training.workflow.products import end, finished
from training.models import Artifact, Run, RunState, Sample
from training.workflow import artifacts, deletion, exporting, lineage, rounds, runs, sampling, starting
from training.workflow.exceptions import ModelInUse, ModelNotFound, RunNotResumable
from training.workflow.folders import artifact_folder

pytestmark = pytest.mark.django_db


@pytest.fixture
def adapter(project: Project, policy: Artifact, snapshot: Snapshot) -> Artifact:
    return finished(project, policy, snapshot=snapshot)


def refused(artifact: Artifact, words: str) -> None:
    with pytest.raises(ModelInUse, match=words) as caught:
        deletion.delete_artifact(artifact)
    assert caught.value.hint
    artifact.refresh_from_db()
    assert artifact.deleted_at is None


def test_its_files_go_and_its_row_says_who_and_when(adapter: Artifact, lead: User):
    folder = Path(adapter.location)
    size = sum(path.stat().st_size for path in folder.iterdir())
    assert deletion.delete_artifact(adapter, lead) == size > 0
    assert not folder.exists()
    assert not Artifact.objects.filter(pk=adapter.pk).exists()
    grave = Artifact.ever.get(pk=adapter.pk)
    assert grave.deleted_by == lead and grave.deleted_at
    event = adapter.run.events.last()
    assert (event.actor, event.state) == (lead, RunState.SUCCEEDED) and adapter.name in event.detail


def test_a_base_is_needed_by_its_adapters_and_free_after_them(policy: Artifact, adapter: Artifact):
    refused(policy, f"An adapter needs it: “{adapter}”")
    deletion.delete_artifact(adapter)
    deletion.delete_artifact(policy)
    assert not Artifact.objects.exists()


def test_what_was_only_registered_keeps_its_files(policy: Artifact, model_folder: Path):
    before = sorted(path.name for path in model_folder.iterdir())
    assert deletion.delete_artifact(policy) == 0
    assert sorted(path.name for path in model_folder.iterdir()) == before


def test_a_folder_outside_the_runs_is_never_touched(project: Project, adapter: Artifact, tmp_path: Path):
    outside = tmp_path / "precious"
    Path(adapter.location).rename(outside)
    artifact_folder(adapter.run).symlink_to(outside)
    Artifact.objects.filter(pk=adapter.pk).update(location=str(outside))
    adapter.refresh_from_db()
    assert deletion.delete_artifact(adapter) == 0
    assert (outside / "adapter_model.safetensors").is_file()


def test_files_that_another_model_was_registered_from_do_not_go(project: Project, adapter: Artifact, lead: User):
    elsewhere = create_project(slug="other", name="Other", manager=lead, guideline="x", summary="y")
    inside = f"{adapter.location}/small.gguf"
    again = Artifact.objects.create(project=project, name="again", location=adapter.location)
    theirs = Artifact.objects.create(project=elsewhere, name="secret", location=inside)
    refused(adapter, "“again”, a model of another project")
    assert "secret" not in " ".join(deletion.dependents_of(adapter).reasons)
    assert Path(adapter.location).is_dir()
    assert deletion.delete_artifact(again) == 0, "what was only registered has no files of its own"
    refused(adapter, "Another model was registered from its files: a model of another project")
    deletion.delete_artifact(theirs)
    Artifact.objects.create(project=project, name="beside", location=f"{adapter.location}-2")
    assert deletion.delete_artifact(adapter) > 0


@pytest.mark.parametrize("use", ["model", "reference_model", "reward_model"])
def test_a_queued_or_active_run_forbids_it_and_a_finished_one_does_not(project: Project, adapter: Artifact, use: str):
    run = runs.create_run(project, "sample", {}, "going to", **{use: adapter})
    refused(adapter, "A run is going to use it: “going to”")
    assert runs.claim(run, "host:gpu0", "host:1")
    refused(adapter, "“going to”")
    assert runs.finish(run, RunState.SUCCEEDED)
    assert deletion.dependents_of(adapter).runs == [run]
    assert deletion.delete_artifact(adapter) > 0


def test_a_round_may_want_its_base_and_its_models_until_its_end(
    project: Project, snapshot: Snapshot, policy: Artifact, adapter: Artifact
):
    round = rounds.start_round(project, snapshot, adapter, prompts=2)
    refused(adapter, "Runs are going to use it")
    first = round.runs.get(stage=0)
    Run.objects.filter(pk=first.pk).update(state=RunState.SUCCEEDED)
    scorer = Artifact.objects.create(
        project=project, name="scorer", task="reward", location="/s", parent=policy, run=first
    )
    refused(scorer, "going to use it")


def test_a_whole_model_made_from_it_stays_and_still_leads_back(
    project: Project, policy: Artifact, adapter: Artifact, snapshot: Snapshot
):
    run = end(exporting.start_merge(adapter))
    whole = Artifact.objects.create(project=project, name="whole", location="/w", parent=adapter, run=run)
    assert deletion.dependents_of(adapter).others == [whole]
    deletion.delete_artifact(adapter)
    whole.refresh_from_db()
    assert lineage.parents_of(whole) == [adapter, policy]
    judgment = snapshot.items.first().comparison.judgments.first()
    assert lineage.artifacts_of_judgment(judgment) == [adapter, whole]


def test_samples_still_say_which_model_wrote_them(project: Project, adapter: Artifact, prompts: list[Prompt]):
    run = end(sampling.start_sampling(project, adapter, {}, prompts))
    response = store_response(prompt=prompts[0], text="Hello", source=adapter.name, key="s")
    Sample.objects.create(response=response, run=run, artifact=adapter, tokens=1, finished=True)
    assert deletion.dependents_of(adapter).samples == 1
    deletion.delete_artifact(adapter)
    response.refresh_from_db()
    assert response.sample.artifact.name == response.source == adapter.name


def test_its_name_is_free_again_and_it_cannot_be_deleted_or_resumed_from_twice(
    project: Project, policy: Artifact, model_folder: Path, prompts: list[Prompt]
):
    run = end(sampling.start_sampling(project, policy, {}, prompts), RunState.FAILED)
    deletion.delete_artifact(policy)
    with pytest.raises(ModelNotFound, match="deleted already"):
        deletion.delete_artifact(policy)
    with pytest.raises(RunNotResumable, match="has been deleted"):
        runs.resume(run)
    assert artifacts.register_base(project, policy.name, str(model_folder)).pk != policy.pk


def test_a_deleted_model_is_chosen_nowhere(project: Project, policy: Artifact, adapter: Artifact, snapshot: Snapshot):
    deletion.delete_artifact(adapter)
    assert artifacts.policy_named(project) == policy
    assert list(project.artifacts.all()) == [policy]
    assert starting.start_training(project, "dpo", snapshot, artifacts.policy_named(project), {})
