"""An artifact is whole or not there, and says where it comes from."""

import contextlib
import hashlib
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from training.ml.artifact import read_manifest, verify_artifact, write_artifact
from training.ml.durable import fresh, settle, swap_in
from training.ml.errors import ModelError
from training.ml.job import Data, Job, ModelSpec

FACTS = {"kind": "adapter", "task": "policy", "metrics": {"accuracy": 0.9}}


@pytest.fixture
def job(tmp_path: Path) -> Job:
    data = Data(tmp_path / "train", tmp_path / "test", "abc123")
    model = ModelSpec("/models/base", ("/artifacts/1",))
    return Job(tmp_path, 12, "dpo", 7, None, model, None, None, data, None, tmp_path / "cache", {"round": 3})


def save(directory: Path) -> None:
    save_file({"w": torch.ones(3)}, directory / "adapter_model.safetensors")


def test_the_manifest_names_parents_packages_and_weights(job):
    manifest = write_artifact(job, save, FACTS)
    assert manifest == read_manifest(job.directory / "artifact")
    assert manifest["model"] == {"base": "/models/base", "adapters": ["/artifacts/1"]}
    assert (manifest["recipe"], manifest["seed"], manifest["snapshot_hash"]) == ("dpo", 7, "abc123")
    assert manifest["lineage"] == {"round": 3}
    assert manifest["packages"]["torch"].split("+")[0] == torch.__version__.split("+")[0]
    assert manifest["metrics"] == {"accuracy": 0.9}
    assert len(manifest["weights_sha256"]) == len(hashlib.sha256().hexdigest())


def test_weights_that_were_changed_are_noticed(job):
    write_artifact(job, save, FACTS)
    artifact = job.directory / "artifact"
    assert verify_artifact(artifact)["task"] == "policy"
    save_file({"w": torch.zeros(3)}, artifact / "adapter_model.safetensors")
    with pytest.raises(ModelError) as caught:
        verify_artifact(artifact)
    assert caught.value.code == "broken_artifact"


def test_a_save_that_fails_leaves_no_artifact(job):
    def fail(directory: Path) -> None:
        save(directory)
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError):
        write_artifact(job, fail, FACTS)
    assert not (job.directory / "artifact").exists()
    write_artifact(job, save, FACTS)
    assert [path.name for path in job.directory.iterdir()] == ["artifact"]


def test_a_result_without_weights_is_refused(job):
    with pytest.raises(ModelError) as caught:
        write_artifact(job, lambda directory: None, FACTS)
    assert caught.value.code == "no_weights"
    assert not (job.directory / "artifact").exists()


@pytest.mark.parametrize("content", [None, "{", "[]", '{"format": 99}'])
def test_a_manifest_that_cannot_be_read_is_told(tmp_path, content):
    if content is not None:
        (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(ModelError) as caught:
        read_manifest(tmp_path)
    assert caught.value.code == "broken_artifact"
    assert str(tmp_path) in caught.value.message


def test_a_kill_at_any_point_of_the_swap_leaves_the_old_or_the_new_one(tmp_path, monkeypatch):
    class Killed(BaseException):
        pass

    target, real = tmp_path / "checkpoint", os.rename
    for survives in range(3):
        (fresh(target) / "content").write_text("old")
        swap_in(target.with_name("checkpoint.tmp"), target)
        temporary = fresh(target)
        (temporary / "content").write_text("new")
        calls = iter(range(9))

        def rename(source, destination, calls=calls, survives=survives):
            if next(calls) >= survives:
                raise Killed
            real(source, destination)

        with monkeypatch.context() as patch:
            patch.setattr(os, "rename", rename)
            with contextlib.suppress(Killed):
                swap_in(temporary, target)
        assert settle(target)
        assert (target / "content").read_text() == ("new" if survives == 2 else "old")
        assert [path.name for path in tmp_path.iterdir()] == ["checkpoint"]
