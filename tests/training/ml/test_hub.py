"""A push goes to a hub on this machine: private, in one commit, and not at all without the right to."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import huggingface_hub.constants
import pytest

from tests.training.ml.export_jobs import job
from tests.training.ml.hub_server import Hub, running_hub
from tests.training.ml.trained import Trained, train_briefly
from training.ml import run
from training.ml.errors import ModelError
from training.ml.hub import hub_errors


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with running_hub() as running:
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", running.address)
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_XET", True)
        # As the supervisor starts a run (training/workflow/children.py): only a token that is named is sent.
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_IMPLICIT_TOKEN", True)
        yield running


@pytest.fixture
def trained(fixture_model: Path, tmp_path: Path) -> Trained:
    return train_briefly("lora", "policy", fixture_model, tmp_path / "artifact")


def push(trained: Trained, directory: Path, token: str, monkeypatch: pytest.MonkeyPatch, **config: object) -> int:
    monkeypatch.setenv("HF_TOKEN", token)
    return run.main([str(job(trained, directory, repository="ann/plain", **config).directory)])


def told(directory: Path) -> dict:
    return json.loads((directory / "error.json").read_text())


def nothing_is_written(directory: Path) -> bool:
    return not (directory.parent / "cache" / "exports").exists()


def test_the_directory_arrives_whole_and_private_in_one_commit(hub, trained, tmp_path, monkeypatch, capfd):
    directory = tmp_path / "job"
    assert push(trained, directory, "hf_writer", monkeypatch) == run.DONE
    repository = hub.repositories["ann/plain"]
    folder = tmp_path / "cache" / "exports" / "garden" / "plain"
    assert repository["private"] is True
    assert repository["files"] == {path.name: path.read_bytes() for path in folder.iterdir()}
    assert sum("/commit/" in path for _method, path in hub.seen) == 1
    result = json.loads((directory / "result.json").read_text())
    assert (result["repository"], result["private"]) == ("ann/plain", True)
    written = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    output = capfd.readouterr()
    assert not any(b"hf_writer" in content for content in written)
    assert "hf_writer" not in output.out + output.err


def test_it_is_public_only_when_asked(hub, trained, tmp_path, monkeypatch):
    assert push(trained, tmp_path / "job", "hf_writer", monkeypatch, private=False) == run.DONE
    assert hub.repositories["ann/plain"]["private"] is False


def test_an_adapter_does_not_tell_where_its_base_lay(hub, trained, tmp_path, monkeypatch):
    assert push(trained, tmp_path / "job", "hf_writer", monkeypatch, form="adapter") == run.DONE
    settings = json.loads(hub.repositories["ann/plain"]["files"]["adapter_config.json"])
    assert settings["base_model_name_or_path"] == trained.base.name
    assert not any(str(tmp_path).encode() in content for content in hub.repositories["ann/plain"]["files"].values())


@pytest.mark.parametrize(
    ("token", "code"),
    [("", "no_hub_token"), ("hf_wrong", "hub_token_refused"), ("hf_reader", "hub_no_rights"),
     ("hf_elsewhere", "hub_no_rights")],
)  # fmt: skip
def test_a_token_without_rights_ends_it_before_anything_is_written_or_pushed(
    hub, trained, tmp_path, monkeypatch, token, code
):
    directory = tmp_path / "job"
    assert push(trained, directory, token, monkeypatch) == run.FAILED
    assert told(directory)["code"] == code and "ushed" in told(directory)["message"]
    assert not hub.repositories and nothing_is_written(directory)
    assert not token or token not in (directory / "error.json").read_text()


def test_an_owner_whom_the_operator_has_not_named_gets_nothing(hub, trained, tmp_path, monkeypatch):
    monkeypatch.setenv("PLUMBLINE_HUB_OWNERS", "garden-club, orchard")
    assert push(trained, tmp_path / "job", "hf_writer", monkeypatch) == run.FAILED
    assert told(tmp_path / "job")["code"] == "hub_owner_refused"
    assert "garden-club, orchard" in told(tmp_path / "job")["hint"]
    assert hub.seen == [] and not hub.repositories and nothing_is_written(tmp_path / "job")


def test_a_named_owner_gets_it_whichever_way_the_name_is_written(hub, trained, tmp_path, monkeypatch):
    monkeypatch.setenv("PLUMBLINE_HUB_OWNERS", "orchard,Ann")
    assert push(trained, tmp_path / "job", "hf_writer", monkeypatch, form="adapter") == run.DONE
    assert "ann/plain" in hub.repositories


def test_a_repository_that_exists_is_not_written_over(hub, trained, tmp_path, monkeypatch):
    hub.repositories["ann/plain"] = {"private": False, "files": {"theirs": b"x"}}
    assert push(trained, tmp_path / "job", "hf_writer", monkeypatch) == run.FAILED
    assert told(tmp_path / "job")["code"] == "repository_exists"
    assert hub.repositories["ann/plain"]["files"] == {"theirs": b"x"}


def test_one_that_the_run_made_without_hearing_of_it_is_its_own_as_long_as_it_is_empty(
    hub, trained, tmp_path, monkeypatch
):
    hub.dies_after_making = True
    assert push(trained, tmp_path / "job", "hf_writer", monkeypatch) == run.FAILED
    assert told(tmp_path / "job")["code"] == "hub_away"
    hub.repositories["ann/plain"]["files"] = {"theirs": b"x"}
    assert run.main([str(tmp_path / "job")]) == run.FAILED
    assert told(tmp_path / "job")["code"] == "repository_exists"
    hub.repositories["ann/plain"]["files"] = {}
    assert run.main([str(tmp_path / "job")]) == run.DONE
    assert "model.safetensors" in hub.repositories["ann/plain"]["files"]


def test_an_empty_repository_of_somebody_else_stays_theirs_however_often_it_is_tried(
    hub, trained, tmp_path, monkeypatch
):
    hub.repositories["ann/plain"] = {"private": False, "files": {}}
    assert push(trained, tmp_path / "job", "hf_writer", monkeypatch) == run.FAILED
    assert run.main([str(tmp_path / "job")]) == run.FAILED
    assert told(tmp_path / "job")["code"] == "repository_exists"
    assert hub.repositories["ann/plain"]["files"] == {}


def test_a_push_that_broke_off_is_resumed_with_what_is_written(hub, trained, tmp_path, monkeypatch):
    hub.refuses_commits = True
    assert push(trained, tmp_path / "job", "hf_writer", monkeypatch) == run.FAILED
    assert told(tmp_path / "job")["code"] == "hub_away"
    assert hub.repositories["ann/plain"]["files"] == {}
    hub.refuses_commits = False
    assert run.main([str(tmp_path / "job")]) == run.DONE
    assert "model.safetensors" in hub.repositories["ann/plain"]["files"]


def test_a_login_in_the_address_of_the_hub_is_not_told():
    with pytest.raises(ModelError) as failed, hub_errors("ann/plain"):
        raise ValueError("no answer from https://ann:s3cret@hub.example.org/api")
    assert "s3cret" not in str(failed.value.told()) and "hub.example.org" in failed.value.message


def test_a_hub_that_cannot_be_reached_is_told(trained, tmp_path, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    assert push(trained, tmp_path / "job", "hf_writer", monkeypatch) == run.FAILED
    assert told(tmp_path / "job")["code"] == "hub_away"
    assert nothing_is_written(tmp_path / "job")
