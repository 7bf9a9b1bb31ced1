"""What a run's job.json tells the training process about its data."""

import errno
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from annotate.models import Project, Snapshot, User
from annotate.workflow.exceptions import NobodyHeldOut
from annotate.workflow.held_out import draw
from annotate.workflow.snapshot_rows import Vote, pseudonym
from annotate.workflow.snapshots import freeze
from tests.factories import judge_all, make_comparisons
from training.models import Run
from training.workflow.jobs import _write, job_of

pytestmark = pytest.mark.django_db


def _data(snapshot: Snapshot, tmp_path: Path) -> dict[str, str]:
    return job_of(Run.objects.create(project=snapshot.project, recipe="reward", snapshot=snapshot), tmp_path)["data"]


def test_ties_are_named_where_the_snapshot_keeps_any(project: Project, ann: User, tmp_path: Path) -> None:
    make_comparisons(project, 4)
    judge_all(project, ann, ["a", "b", "a", "a"])
    without, _created = freeze(project=project, test_share=0)
    assert list(_data(without, tmp_path)) == ["train", "test", "snapshot_hash"]
    make_comparisons(project, 1, start=10)
    judge_all(project, ann, ["tie"])
    data = _data(freeze(project=project, test_share=0)[0], tmp_path)
    assert list(data) == ["train", "test", "snapshot_hash", "ties_train"]
    assert Path(data["ties_train"]).parent == Path(data["train"]).parent


def test_annotators_held_out_are_named_where_the_snapshot_holds_any_out(
    project: Project, ann: User, ben: User, tmp_path: Path
) -> None:
    make_comparisons(project, 4)
    judge_all(project, ann, ["a", "b", "a", "a"])
    judge_all(project, ben, ["a", "b", "a", "a"])
    people = {0: [Vote(0, "a", pseudonym(project.slug, name)) for name in ("ann", "ben")]}
    seed = next(seed for seed in range(100) if _holds_one_out(people, seed))
    data = _data(freeze(project=project, test_share=0, annotator_share=0.5, seed=seed)[0], tmp_path)
    assert list(data) == ["train", "test", "snapshot_hash", "test_annotators"]
    assert Path(data["test_annotators"]).parent == Path(data["test"]).parent


def _holds_one_out(people: dict[int, list[Vote]], seed: int) -> bool:
    try:
        return bool(draw(people, 0.5, seed))
    except NobodyHeldOut:
        return False


def test_a_file_is_on_the_disk_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty job.json after a power cut would have the folder set aside, with the checkpoint of a long training."""
    asked: list[tuple[str, int]] = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda fd: (asked.append(("fsync", os.fstat(fd).st_size)), fsync(fd)))
    monkeypatch.setattr(os, "replace", lambda *given: (asked.append(("replace", 0)), replace(*given)))
    _write(tmp_path / "job.json", "whole")
    assert asked == [("fsync", len("whole")), ("replace", 0)]


def test_a_full_disk_leaves_the_file_of_before_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    _write(tmp_path / "job.json", "before")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        _write(tmp_path / "job.json", "after")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["before"]


def test_a_file_is_whole_however_many_write_it_at_once(tmp_path: Path) -> None:
    """The page that starts a playground and its worker, or two workers of which one was thought lost."""
    path = tmp_path / "job.json"
    texts = [str(number) * 100_000 for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda text: [_write(path, text) for _again in range(20)], texts))
    assert path.read_text() in texts
    assert list(tmp_path.iterdir()) == [path]
