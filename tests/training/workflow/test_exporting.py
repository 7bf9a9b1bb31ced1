"""Starting merges and exports: what is refused, before anything is made, and why; and the end of an export."""

import errno
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.db import OperationalError

from annotate.models import Judgment, Project, Snapshot, User
from tests.training.workflow.products import end, exported, finished
from training.models import Artifact, Run, RunState
from training.recipes.export import export_folder
from training.workflow import artifacts, exporting, jobs, lineage, runner, runs, starting
from training.workflow.exceptions import (
    BadConfig,
    BadInput,
    ExportExists,
    ModelInUse,
    ModelRefused,
    TooLittleDisk,
    WorkflowError,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def adapter(project: Project, policy: Artifact, snapshot: Snapshot) -> Artifact:
    return finished(project, policy, snapshot=snapshot)


def target(project: Project, name: str) -> Path:
    return export_folder(Path(settings.MODELS_DIR), project.slug, name)


def test_an_export_over_a_directory_that_exists_is_refused_and_makes_nothing(project: Project, adapter: Artifact):
    target(project, "taken").mkdir(parents=True)
    with pytest.raises(ExportExists, match="never writes over") as refused:
        exporting.start_export(adapter, {"folder": "taken"})
    assert refused.value.where == "folder" and refused.value.hint
    assert not Run.objects.filter(recipe="export").exists()


def test_two_exports_of_one_name_are_not_queued_at_once(project: Project, adapter: Artifact):
    exporting.start_export(adapter, {"folder": "one"})
    with pytest.raises(ExportExists, match="is being written"):
        exporting.start_export(adapter, {"folder": "one", "form": "adapter"})
    assert exporting.start_export(adapter, {"folder": "two"})


@pytest.mark.parametrize("name", ["../out", "a/b", "", ".hidden", "x.tmp", "a b", "名"])
def test_a_name_that_could_leave_the_folder_is_refused(adapter: Artifact, name: str):
    with pytest.raises(BadConfig) as refused:
        exporting.start_export(adapter, {"folder": name})
    assert refused.value.field == "folder"


@pytest.mark.parametrize("name", ["nobody", "a/b/c", "https://x/y", "a b/c"])
def test_a_repository_that_no_hub_knows_is_refused(adapter: Artifact, name: str):
    with pytest.raises(BadConfig) as refused:
        exporting.start_export(adapter, {"folder": "x", "repository": name})
    assert refused.value.field == "repository"


@pytest.mark.parametrize("method", ["prefix", "p_tuning", "prompt_tuning", "houlsby"])
def test_what_cannot_be_merged_is_refused_with_the_reason_and_offered_as_an_adapter(
    project: Project, policy: Artifact, snapshot: Snapshot, method: str
):
    artifact = finished(project, policy, config={"adapter": method}, snapshot=snapshot)
    for start in (exporting.start_merge, lambda one: exporting.start_export(one, {"folder": "x"})):
        with pytest.raises(ModelRefused, match="cannot become part of the weights") as refused:
            start(artifact)
        assert "adapter alone" in refused.value.hint
    assert exporting.start_export(artifact, {"folder": "x", "form": "adapter"}).state == RunState.QUEUED


def test_an_ensemble_of_adapters_is_exported_as_one_and_not_merged(
    project: Project, policy: Artifact, snapshot: Snapshot
):
    settings = {"adapter": "lora", "members": 3, "ensemble_of": "adapters"}
    ensemble = finished(project, policy, "reward", config=settings, snapshot=snapshot)
    with pytest.raises(ModelRefused, match="an ensemble of adapters"):
        exporting.start_merge(ensemble)
    assert exporting.start_export(ensemble, {"folder": "x", "form": "adapter"})
    for settings["members"], settings["ensemble_of"] in ((1, "adapters"), (3, "heads")):
        assert exporting.start_merge(finished(project, policy, "reward", config=settings, snapshot=snapshot))


def test_a_whole_model_has_no_adapter_to_merge_or_to_export_alone(policy: Artifact):
    with pytest.raises(BadInput, match="whole model already"):
        exporting.start_merge(policy)
    with pytest.raises(BadInput, match="no adapter"):
        exporting.start_export(policy, {"folder": "x", "form": "adapter"})


def test_trained_layers_are_no_adapter_that_peft_knows(project: Project, policy: Artifact, snapshot: Snapshot):
    artifact = finished(project, policy, config={"adapter": "last_layers"}, snapshot=snapshot)
    with pytest.raises(BadInput, match="PEFT does not know"):
        exporting.start_export(artifact, {"folder": "x", "form": "adapter"})
    assert exporting.start_export(artifact, {"folder": "x"})


def test_a_disk_without_room_is_told_before_the_run(adapter: Artifact, monkeypatch: pytest.MonkeyPatch):
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr("training.workflow.disk.shutil.disk_usage", lambda _folder: usage)
    with pytest.raises(TooLittleDisk):
        exporting.start_export(adapter, {"folder": "x"})
    with pytest.raises(TooLittleDisk):
        exporting.start_merge(adapter)


def test_the_card_lies_beside_the_job_and_the_token_in_neither(
    project: Project, adapter: Artifact, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    run = exporting.start_export(adapter, {"folder": "x", "repository": "ann/x"})
    folder = jobs.prepare(run)
    assert (folder / "card.md").read_text().startswith("---\n")
    assert not any("hf_secret" in path.read_text() for path in folder.iterdir())


def test_the_directory_of_an_export_is_deleted_and_nothing_else(project: Project, adapter: Artifact, lead: User):
    run = end(exporting.start_export(adapter, {"folder": "mine"}))
    folder = target(project, "mine")
    exported(run, folder)
    exporting.take_in(run)
    assert [one.pk for one in exporting.exports_of(adapter)] == [run.pk]
    other = end(exporting.start_export(adapter, {"folder": "theirs"}))
    target(project, "theirs").mkdir()
    with pytest.raises(BadInput, match="not the directory that this run has written"):
        exporting.delete_export(other, lead)
    exporting.delete_export(run, lead)
    assert not folder.exists() and target(project, "theirs").exists()
    event = run.events.last()
    assert event.actor == lead and "was deleted" in event.detail
    assert run not in exporting.exports_of(adapter)


def test_a_deletion_that_breaks_off_can_be_asked_for_again(
    project: Project, adapter: Artifact, monkeypatch: pytest.MonkeyPatch
):
    """The files go in any order, and the network's disk may be away after each, or the database at the end."""
    run, folder = end(exporting.start_export(adapter, {"folder": "mine"})), target(project, "mine")
    exported(run, folder)
    remove, noted = shutil.rmtree, runs.note
    refused = [OperationalError("database is locked")]

    def half(place: Path, *given: Any, **more: Any) -> None:
        first, *others = sorted(place.iterdir())
        if others:
            first.unlink()
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    def noted_but_for_once(*given: Any) -> None:
        if refused:
            raise refused.pop()
        noted(*given)

    monkeypatch.setattr(shutil, "rmtree", half)
    with pytest.raises(WorkflowError, match="could not be deleted"):
        exporting.delete_export(run)
    monkeypatch.setattr(shutil, "rmtree", remove)
    monkeypatch.setattr(runs, "note", noted_but_for_once)
    with pytest.raises(OperationalError):
        exporting.delete_export(run)
    run.refresh_from_db()
    exporting.delete_export(run)
    assert not folder.exists() and run.result["deleted"]


def test_an_export_that_is_registered_as_a_model_is_not_deleted(project: Project, adapter: Artifact):
    run = end(exporting.start_export(adapter, {"folder": "mine"}))
    exported(run, target(project, "mine"))
    Artifact.objects.create(project=project, name="again", location=str(target(project, "mine").resolve()))
    with pytest.raises(ModelInUse, match="“again”"):
        exporting.delete_export(run)
    assert target(project, "mine").exists()


@pytest.mark.not_db
@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("forked")
def test_a_merge_and_an_export_go_through_queue_and_process(
    project: Project, policy: Artifact, snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch
):
    """A training process each; the base model itself is exported, and a push without a token ends in words."""
    monkeypatch.delenv("HF_TOKEN", raising=False)
    run = exporting.start_export(policy, {"folder": "whole", "dtype": "bfloat16"})
    assert runner.execute(run.pk) == RunState.SUCCEEDED
    run.refresh_from_db()
    folder = target(project, "whole")
    assert run.result["folder"] == str(folder) and (folder / "README.md").read_text().startswith("---\n")
    again = artifacts.register_base(project, "again", str(folder))
    assert artifacts.model_spec(again)["base"] == str(folder.resolve())
    pushed = exporting.start_export(policy, {"folder": "pushed", "repository": "ann/x"})
    assert runner.execute(pushed.pk) == RunState.FAILED
    pushed.refresh_from_db()
    assert pushed.failure["code"] == "no_hub_token" and not target(project, "pushed").exists()


@pytest.mark.not_db
@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("forked")
def test_a_merged_model_keeps_its_lineage(project: Project, policy: Artifact, snapshot: Snapshot):
    quick = {"epochs": 1, "max_length": 256, "rank": 2}
    trained = starting.start_training(project, "reward", snapshot, policy, quick)
    assert runner.execute(trained.pk) == RunState.SUCCEEDED
    adapter = Artifact.objects.get(run=trained)
    run = exporting.start_merge(adapter)
    assert runner.execute(run.pk) == RunState.SUCCEEDED
    merged = Artifact.objects.get(run=run)
    assert (merged.is_adapter, merged.task, merged.parent, merged.manifest["recipe"]) == (
        False,
        "reward",
        adapter,
        "merge",
    )
    assert merged.manifest["merged"][0]["weights_sha256"] == adapter.manifest["weights_sha256"]
    assert lineage.parents_of(merged) == [adapter, policy]
    assert merged in lineage.artifacts_of_judgment(Judgment.objects.counted().first())
