"""Policy runs that were cancelled or killed in the middle and started again end as if nothing had happened."""

from __future__ import annotations

import os
import random
import signal
import threading
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.training.demonstrations import write_demonstrations
from tests.training.ml import child
from tests.training.ml.jobs import manifest, write_job
from tests.training.ml.test_resume import SETTINGS, signal_at_step, weights
from tests.training.planted import write_planted
from training.ml import run
from training.ml.progress import read_lines


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    # Sums of floating point numbers depend on how many threads share them.
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


def steps(directory: Path) -> list[dict[str, Any]]:
    lines = [line for line in read_lines(directory / "progress.jsonl") if line["kind"] == "step"]
    return [{**line["metrics"], "step": line["step"]} for line in lines]


def data_for(recipe: str, directory: Path) -> dict[str, str]:
    """24 steps of it, whatever the recipe counts as an example."""
    write = write_demonstrations if recipe == "sft" else write_planted
    return write(directory / "data", train=24 if recipe == "kto" else 48, test=6)


def assert_same(found: Path, expected: Path) -> None:
    assert len(steps(expected)) == 24
    assert [step["step"] for step in steps(found)] == list(range(1, 25))
    for one, other in zip(steps(found), steps(expected), strict=True):
        assert one == pytest.approx(other, abs=1e-5)
    ours, theirs = weights(found), weights(expected)
    assert ours.keys() == theirs.keys()
    assert all(torch.allclose(ours[name], theirs[name], atol=1e-6) for name in theirs)
    assert manifest(found)["metrics"]["samples"] == manifest(expected)["metrics"]["samples"]


@pytest.mark.parametrize("recipe", ["sft", "kto", "orpo", "simpo"])
def test_a_cancelled_run_resumes_to_the_same_end(recipe: str, fixture_model: Path, tmp_path: Path) -> None:
    data = data_for(recipe, tmp_path)
    whole = write_job(tmp_path / "whole", recipe, fixture_model, data, **SETTINGS)
    assert run.main([str(whole)]) == run.DONE
    cut = write_job(tmp_path / "cut", recipe, fixture_model, data, **SETTINGS)
    kill = threading.Thread(target=signal_at_step, args=(cut, 6, os.getpid(), signal.SIGTERM))
    kill.start()
    assert run.main([str(cut)]) == run.CANCELLED
    kill.join()
    assert 6 <= len(steps(cut)) < 24
    assert not (cut / "artifact").exists()
    run.cancel.reset()
    assert run.main([str(cut)]) == run.DONE
    assert_same(cut, whole)


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("recipe", ["sft", "dpo", "kto", "orpo", "simpo"])
def test_a_process_killed_at_a_random_step_resumes_to_the_same_end(
    recipe: str, fixture_model: Path, tmp_path: Path
) -> None:
    """kill -9, three seeds; what the next process finds is a checkpoint of an earlier step, or none."""
    data = data_for(recipe, tmp_path)
    whole = write_job(tmp_path / "whole", recipe, fixture_model, data, **SETTINGS)
    assert run.main([str(whole)]) == run.DONE
    for seed in range(3):
        step = random.Random(f"{recipe} {seed}").randint(1, 20)
        cut = write_job(tmp_path / f"cut-{seed}", recipe, fixture_model, data, **SETTINGS)
        assert child.start_and_signal(cut, step, signal.SIGKILL) == -signal.SIGKILL
        assert not (cut / "artifact").exists()
        assert run.main([str(cut)]) == run.DONE
        assert_same(cut, whole)
