"""What a run's job.json tells the training process about its data."""

from pathlib import Path

import pytest

from annotate.models import Project, Snapshot, User
from annotate.workflow.snapshots import freeze
from tests.factories import judge_all, make_comparisons
from training.models import Run
from training.workflow.jobs import job_of

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
