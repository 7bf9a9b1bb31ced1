"""A run by any adapter method that was cancelled or killed, started again, ends as if nothing had happened."""

from __future__ import annotations

import os
import random
import signal
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.training.ml.child import start_and_signal
from tests.training.ml.jobs import curve, manifest, write_job
from tests.training.ml.trained import SMALL, VARIANTS
from tests.training.planted import write_planted
from training.ml import run
from training.ml.progress import Progress

STEPS = 8
SETTINGS = {**SMALL, "learning_rate": 0.003, "batch_size": 2, "gradient_accumulation": 1, "checkpoint_every": 2}
WHICH = ["lora-dora", *(name for name in VARIANTS if name not in ("lora-rslora", "lora-dora", "qlora-dora"))]

# With dropout, or with another network of virtual tokens than a method's own.
NOT_IN_THE_MATRIX = ["lora-dora", "qlora", "p_tuning-mlp", "p_tuning-lstm"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return write_planted(tmp_path_factory.mktemp("data"), train=STEPS * 2, test=2)


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    # Sums of floating point numbers depend on how many threads share them.
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


@pytest.fixture
def job(fixture_model: Path, qwen2_model: Path, data: dict[str, str], tmp_path: Path):
    def write(name: str, recipe: str, variant: str) -> Path:
        base = qwen2_model if variant == "bias" else fixture_model
        dropout = {"dropout": 0.1} if "lora" in variant else {}  # its random numbers have to be restored too
        config = {"adapter": variant.partition("-")[0], **SETTINGS, **VARIANTS[variant], **dropout}
        return write_job(tmp_path / name, recipe, base, data, **config)

    return write


@pytest.mark.slow
@pytest.mark.parametrize("variant", WHICH)
def test_a_cancelled_and_a_killed_run_resume_to_the_same_end(
    job, variant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGTERM at a step; kill -9 at one that a seed draws, of which the next process finds an earlier checkpoint, or
    none. Every recipe with every adapter is cancelled in test_matrix.py."""
    recipe = random.Random(variant).choice(["reward", "dpo"])
    whole, cancelled, killed = (job(name, recipe, variant) for name in ("whole", "cancelled", "killed"))
    assert run.main([str(whole)]) == run.DONE
    cancel(cancelled, monkeypatch)
    assert run.main([str(cancelled)]) == run.DONE
    assert_same(cancelled, whole)
    assert start_and_signal(killed, random.Random(variant).randint(1, STEPS - 2), signal.SIGKILL) == -signal.SIGKILL
    assert not (killed / "artifact").exists()
    assert run.main([str(killed)]) == run.DONE
    assert_same(killed, whole)


@pytest.mark.parametrize("variant", NOT_IN_THE_MATRIX)
def test_a_cancelled_run_of_the_other_recipe_resumes_to_the_same_end(
    job, variant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = "dpo" if random.Random(variant).choice(["reward", "dpo"]) == "reward" else "reward"
    whole, cut = job("whole", recipe, variant), job("cut", recipe, variant)
    assert run.main([str(whole)]) == run.DONE
    cancel(cut, monkeypatch)
    assert run.main([str(cut)]) == run.DONE
    assert_same(cut, whole)


def cancel(cut: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Progress, "step", terminated_at(5, Progress.step))
        assert run.main([str(cut)]) == run.CANCELLED
    assert len(curve(cut)) == 5 and not (cut / "artifact").exists()
    run.cancel.reset()


def terminated_at(last: int, step):
    """Progress.step, with a SIGTERM to this process as soon as step `last` is told."""

    def told(progress: Progress, stage: str, **more) -> None:
        step(progress, stage, **more)
        if more["step"] == last:
            os.kill(os.getpid(), signal.SIGTERM)

    return told


def assert_same(found: Path, expected: Path) -> None:
    assert [point[0] for point in curve(found)] == list(range(1, STEPS + 1))
    assert torch.allclose(torch.tensor(curve(found)), torch.tensor(curve(expected)), atol=1e-5)
    files = sorted(path.name for path in (expected / "artifact").glob("*.safetensors"))
    assert files == sorted(path.name for path in (found / "artifact").glob("*.safetensors"))
    for name in files:
        ours, theirs = (load_file(directory / "artifact" / name) for directory in (found, expected))
        assert ours.keys() == theirs.keys()
        assert all(torch.allclose(ours[key], theirs[key], atol=1e-6) for key in theirs)
    assert manifest(found)["metrics"].get("samples") == manifest(expected)["metrics"].get("samples")
