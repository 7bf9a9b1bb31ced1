"""A run that was cancelled or killed, started again, ends as if nothing had happened: same losses, same weights."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tests.training.ml import child
from tests.training.ml.jobs import curve, manifest, write_job
from tests.training.planted import write_planted
from training.ml import run
from training.ml.progress import read_lines

# Dropout draws random numbers in every step, so they have to be restored too.
SETTINGS = {
    "learning_rate": 0.003,
    "batch_size": 2,
    "gradient_accumulation": 2,
    "epochs": 2,
    "dropout": 0.1,
    "checkpoint_every": 4,
    "rank": 8,
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return write_planted(tmp_path_factory.mktemp("resume"), train=48, test=6)


@pytest.fixture
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    # Sums of floating point numbers depend on how many threads share them.
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


@pytest.mark.parametrize("recipe", ["reward", "dpo"])
@pytest.mark.usefixtures("one_thread")
def test_a_cancelled_run_resumes_to_the_same_end(
    recipe: str, fixture_model: Path, data: dict[str, str], tmp_path: Path
) -> None:
    whole = write_job(tmp_path / "whole", recipe, fixture_model, data, **SETTINGS)
    assert run.main([str(whole)]) == run.DONE
    cut = write_job(tmp_path / "cut", recipe, fixture_model, data, **SETTINGS)
    kill = threading.Thread(target=signal_at_step, args=(cut, 6, os.getpid(), signal.SIGTERM))
    kill.start()
    assert run.main([str(cut)]) == run.CANCELLED
    kill.join()
    assert 6 <= len(curve(cut)) < len(curve(whole))
    assert not (cut / "artifact").exists()
    run.cancel.reset()
    assert run.main([str(cut)]) == run.DONE
    assert_same(cut, whole)


@pytest.mark.usefixtures("one_thread")
def test_a_killed_process_resumes_to_the_same_end(fixture_model: Path, data: dict[str, str], tmp_path: Path) -> None:
    """Kill -9 in the middle, then SIGTERM, then to the end; what a command line adds to it is in test_run.py."""
    whole = write_job(tmp_path / "whole", "dpo", fixture_model, data, **SETTINGS)
    assert run.main([str(whole)]) == run.DONE
    cut = write_job(tmp_path / "cut", "dpo", fixture_model, data, **SETTINGS)
    assert child.start_and_signal(cut, 6, signal.SIGKILL) == -signal.SIGKILL
    assert (cut / "checkpoint" / "position.json").exists()
    assert not (cut / "artifact").exists()
    assert child.start_and_signal(cut, 14, signal.SIGTERM) == run.CANCELLED
    assert run.main([str(cut)]) == run.DONE
    assert_same(cut, whole)


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("seed", range(3))
def test_a_reward_model_killed_at_a_random_step_resumes_to_the_same_end(
    seed: int, fixture_model: Path, data: dict[str, str], tmp_path: Path
) -> None:
    whole = write_job(tmp_path / "whole", "reward", fixture_model, data, **SETTINGS)
    assert run.main([str(whole)]) == run.DONE
    cut = write_job(tmp_path / "cut", "reward", fixture_model, data, **SETTINGS)
    step = random.Random(seed).randint(1, 22)
    assert child.start_and_signal(cut, step, signal.SIGKILL) == -signal.SIGKILL
    assert run.main([str(cut)]) == run.DONE
    assert_same(cut, whole)


def signal_at_step(directory: Path, step: int, process: int, number: signal.Signals) -> None:
    deadline = time.monotonic() + 120
    while last_step(directory) < step and time.monotonic() < deadline:
        time.sleep(0.005)
    os.kill(process, number)


def last_step(directory: Path) -> int:
    return max((line.get("step", 0) for line in read_lines(directory / "progress.jsonl")), default=0)


def assert_same(found: Path, expected: Path) -> None:
    steps = curve(expected)
    assert len(steps) == 24
    assert [point[0] for point in curve(found)] == list(range(1, 25))
    assert torch.allclose(torch.tensor(curve(found)), torch.tensor(steps), atol=1e-5)
    ours, theirs = weights(found), weights(expected)
    assert ours.keys() == theirs.keys()
    assert all(torch.allclose(ours[name], theirs[name], atol=1e-6) for name in theirs)
    # What was made of the weights agrees as well, samples of old and new included.
    assert manifest(found)["metrics"].get("samples") == manifest(expected)["metrics"].get("samples")


def weights(directory: Path) -> dict[str, Any]:
    return load_file(directory / "artifact" / "adapter_model.safetensors")
