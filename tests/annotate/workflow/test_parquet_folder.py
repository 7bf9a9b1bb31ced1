"""A folder is whole when its name is in the database, and made whole again when something has torn it."""

import os
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from annotate.models import Project, User
from annotate.workflow.demonstrations import SCHEMA, import_demonstrations
from annotate.workflow.parquet_folder import write_folder
from annotate.workflow.snapshots import freeze
from tests.factories import judge_all, make_comparisons

SAID = [{"role": "user", "content": "Why?"}]
FILES = {"train": [{"id": "1", "prompt": SAID, "response": SAID}], "test": []}
TORN: list[Callable[[Path], object]] = [
    lambda file: file.write_bytes(b""),
    lambda file: file.write_bytes(file.read_bytes()[:-40]),
    lambda file: file.unlink(),
    lambda file: pq.write_table(pq.read_table(file).slice(1), file),
]


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """What is asked of the disk, in order: what would outlive a power cut cannot be seen otherwise."""
    asked: list[tuple[str, str]] = []
    fsync, rename = os.fsync, os.rename

    def watch_fsync(descriptor: int) -> None:
        asked.append(("fsync", os.path.basename(os.readlink(f"/proc/self/fd/{descriptor}"))))
        fsync(descriptor)

    def watch_rename(source: os.PathLike, target: os.PathLike) -> None:
        asked.append(("rename", os.path.basename(target)))
        rename(source, target)

    monkeypatch.setattr(os, "fsync", watch_fsync)
    monkeypatch.setattr(os, "rename", watch_rename)
    return asked


def test_files_are_on_the_disk_before_the_folder_has_its_name(tmp_path: Path, disk: list[tuple[str, str]]) -> None:
    write_folder(tmp_path / "home" / "final", FILES, SCHEMA)
    named = disk.index(("rename", "final"))
    assert {("fsync", "train.parquet"), ("fsync", "test.parquet")} <= set(disk[:named])
    assert disk[named - 1][0] == "fsync", "the folder's own entries"
    assert disk[named + 1 :] == [("fsync", "home")]


def test_a_folder_that_is_whole_is_left_alone(tmp_path: Path, disk: list[tuple[str, str]]) -> None:
    for _ in range(2):
        write_folder(tmp_path / "final", FILES, SCHEMA)
    assert disk.count(("rename", "final")) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["final"]


@pytest.mark.django_db
@pytest.mark.parametrize("tear", TORN)
def test_freezing_again_makes_a_torn_folder_whole(
    project: Project, ann: User, tear: Callable[[Path], object], settings: object, tmp_path: Path
) -> None:
    make_comparisons(project, 4)
    judge_all(project, ann, ["a", "b", "a", "tie"])
    snapshot, _ = freeze(project=project, test_share=0)
    file = Path(snapshot.folder) / "train.parquet"
    before = pq.read_table(file)
    tear(file)
    # The folder of a snapshot stays where it is, wherever new ones go.
    settings.SNAPSHOTS_DIR = tmp_path
    assert freeze(project=project, test_share=0) == (snapshot, False)
    assert pq.read_table(file).equals(before)
    assert [path.name for path in file.parent.parent.iterdir()] == [file.parent.name]


@pytest.mark.django_db
def test_uploading_again_makes_a_torn_set_of_demonstrations_whole(project: Project) -> None:
    lines = ['{"prompt": "Why?", "response": "So."}\n']
    stored = import_demonstrations(project=project, name="Good ones", lines=lines, test_share=0).set
    file = Path(stored.folder) / "train.parquet"
    file.write_bytes(b"")
    again = import_demonstrations(project=project, name="Good ones", lines=lines, test_share=0)
    assert (again.set, again.created) == (stored, False)
    assert pq.read_table(file).num_rows == 1
