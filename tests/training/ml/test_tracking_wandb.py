"""The note of what Weights & Biases has been told: whole, or done without."""

import sys

import pytest

from tests.training.ml.test_tracking import (  # noqa: F401
    Package,
    fail_with,
    job,
    nothing_is_configured,
    notices,
    train,
)
from training.ml import durable, tracking
from training.ml.progress import Progress


@pytest.fixture
def package(monkeypatch):
    made = Package()
    monkeypatch.setenv("WANDB_API_KEY", "x")
    monkeypatch.setitem(sys.modules, "wandb", made)
    return made


@pytest.mark.parametrize("torn", ['{"training/lo', "[3]", '{"training/loss": null}', ""])
def test_a_note_torn_by_a_kill_is_told_once_and_the_numbers_come_all_the_same(job, package, torn):  # noqa: F811
    (job.directory / "wandb.json").write_text(torn)
    train(job, 1, 3)
    assert [step for step, _values in package.logged] == [1, 2, 3, 3]
    [told] = notices(job)
    assert "cannot be read" in told
    train(job, 4, 4)
    assert notices(job) == [] and [step for step, _values in package.logged][4:] == [4, 4]


def test_numbers_that_it_did_not_take_are_offered_again(job, package, monkeypatch):  # noqa: F811
    notes = tracking.Notices(job.directory)
    follower = tracking.Follower(job.directory, tracking.trackers_of(job, notes), notes)
    Progress(job.directory).step("training", step=1, steps=9, metrics={"loss": 1.0})
    monkeypatch.setattr(package, "log", lambda values, step: fail_with("its service is gone"))
    follower.look()
    monkeypatch.undo()
    follower.look()
    assert [step for step, _values in package.logged] == [1]


def test_the_note_is_never_half_written(job, package, monkeypatch):  # noqa: F811
    train(job, 1, 2)
    before = (job.directory / "wandb.json").read_text()
    monkeypatch.setattr(durable, "_flush_one", lambda path: fail_with("killed here") if "wandb" in path.name else None)
    train(job, 3, 3)
    assert (job.directory / "wandb.json").read_text() == before
