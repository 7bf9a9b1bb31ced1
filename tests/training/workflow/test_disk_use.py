"""What a project takes of the disk is measured once in a while, and only what nobody needs can be freed."""

import os
from pathlib import Path

import pytest
from django.conf import settings

from annotate.models import Project, Prompt, Snapshot
from tests.training.workflow.products import checkpoint_of, end, finished
from training.models import Artifact, RunState
from training.workflow import deletion, disk_use, runs, sampling
from training.workflow.exceptions import BadInput, ModelInUse
from training.workflow.folders import folder_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def adapter(project: Project, policy: Artifact, snapshot: Snapshot) -> Artifact:
    return finished(project, policy, snapshot=snapshot)


@pytest.fixture
def reference() -> Path:
    part = Path(settings.MODELS_DIR) / "reference" / "key" / "part.parquet"
    part.parent.mkdir(parents=True)
    part.write_bytes(bytes(300))
    return part


def test_every_kind_is_measured_by_itself(project: Project, adapter: Artifact, reference: Path, prompts: list[Prompt]):
    models = Path(settings.MODELS_DIR)
    for name, size in (("copy-abc/model.safetensors", 500), ("exports/garden/x/w", 40), ("exports/other/y/w", 9)):
        (models / name).parent.mkdir(parents=True)
        (models / name).write_bytes(bytes(size))
    checkpoint_of(adapter.run, 1000)
    stopped = end(sampling.start_sampling(project, adapter, {}, prompts), RunState.FAILED)
    checkpoint_of(stopped, 20)
    (folder_of(stopped) / "artifact.tmp").mkdir()
    (folder_of(stopped) / "artifact.tmp" / "half").write_bytes(bytes(3))
    found = disk_use.measure(project)
    sizes = (found.checkpoints, found.resumable, found.leftovers, found.exports, found.reference, found.converted)
    assert sizes == (1000, 20, 3, 40, 300, 500)
    assert found.models == sum(path.stat().st_size for path in Path(adapter.location).iterdir())


def test_freeing_takes_the_checkpoints_of_finished_runs_and_no_others(
    project: Project, adapter: Artifact, prompts: list[Prompt]
):
    done = checkpoint_of(adapter.run)
    stopped = checkpoint_of(end(sampling.start_sampling(project, adapter, {}, prompts), RunState.CANCELLED))
    assert disk_use.free(project, "checkpoints") == 1000
    assert not done.exists() and stopped.exists()
    assert Path(adapter.location, "adapter_model.safetensors").exists()


def test_the_reference_cache_is_left_alone_while_a_run_is_under_way(
    project: Project, adapter: Artifact, reference: Path, prompts: list[Prompt]
):
    run = sampling.start_sampling(project, adapter, {}, prompts)
    assert runs.claim(run, "host:gpu0", "host:1")
    with pytest.raises(ModelInUse, match="under way"):
        disk_use.free(project, "reference")
    assert reference.exists()
    assert runs.finish(run, RunState.SUCCEEDED)
    assert disk_use.free(project, "reference") == 300
    assert not reference.exists()


def test_files_of_a_deleted_model_that_could_not_be_removed_are_found_later(
    project: Project, adapter: Artifact, monkeypatch: pytest.MonkeyPatch
):
    def refuse(_folder: Path) -> None:
        raise PermissionError

    with monkeypatch.context() as patch:
        patch.setattr(deletion.shutil, "rmtree", refuse)
        assert deletion.delete_artifact(adapter) == 0
    size = disk_use.measure(project).leftovers
    assert size > 0 and disk_use.free(project, "leftovers") == size
    assert not Path(adapter.location).exists()


@pytest.mark.parametrize("what", ["converted", "exports", "models", "../..", ""])
def test_nothing_else_can_be_freed(project: Project, what: str):
    with pytest.raises(BadInput, match="cannot be freed"):
        disk_use.free(project, what)


def test_a_page_does_not_walk_the_disk_at_every_request(project: Project, adapter: Artifact, monkeypatch):
    first = disk_use.disk_use(project), disk_use.size_of(adapter.location)

    def walk(_place: object) -> None:
        raise AssertionError("the disk was walked again")

    with monkeypatch.context() as patch:
        patch.setattr(os, "scandir", walk)
        assert (disk_use.disk_use(project), disk_use.size_of(adapter.location)) == first
    checkpoint_of(adapter.run)
    assert disk_use.disk_use(project).checkpoints == 0
    disk_use.forget(project)
    assert disk_use.disk_use(project).checkpoints == 1000


def test_links_are_not_followed(tmp_path: Path):
    (tmp_path / "big").write_bytes(bytes(1000))
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "link").symlink_to(tmp_path / "big")
    assert disk_use.bytes_below(tmp_path / "folder") < 1000
