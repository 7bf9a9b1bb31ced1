"""The recipe "reward" with each of its options, interrupted, or with pairs that weigh nothing."""

from __future__ import annotations

import json
import os
import random
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tests.training.ml.jobs import manifest, write_job
from tests.training.planted import planted_rows, write_of_many_kinds, write_planted, write_rows
from training.ml import run
from training.ml.job import read_job
from training.ml.progress import Progress, read_lines

pytestmark = pytest.mark.not_db

FAST = {"learning_rate": 0.005, "rank": 8, "batch_size": 2, "gradient_accumulation": 2}
HEAD = {"adapter": "head", "head_epochs": 4, "head_batch_size": 8, "head_learning_rate": 0.01}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return write_of_many_kinds(tmp_path_factory.mktemp("data"))


OPTIONS: dict[str, dict[str, Any]] = {
    "margin": {"margin": 1.0, "label_smoothing": 0.1},
    "davidson": {"ties": "davidson", "soft_labels": True},
    "rao_kupper": {"ties": "rao_kupper", "centring": 0.01},
    "groups": {"group_by_prompt": True, "dropout": 0.1},
    "ensemble": {"members": 3, "dropout": 0.1},
    "adapters": {"members": 2, "ensemble_of": "adapters", "dropout": 0.1},
    "head": {**HEAD, "members": 2, "ties": "davidson"},
    "head in groups": {**HEAD, "group_by_prompt": True},
}


@pytest.mark.parametrize("option", OPTIONS)
def test_a_cancelled_run_resumes_to_the_same_end(
    option: str, fixture_model: Path, data: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGTERM after a step that a seed draws; losses, weights and the parameter for ties are as in a run left alone."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    settings = {**FAST, **OPTIONS[option], "checkpoint_every": 3}
    whole, cut = (write_job(tmp_path / name, "reward", fixture_model, data, **settings) for name in ("whole", "cut"))
    assert run.main([str(whole)]) == run.DONE
    last, step = random.Random(option).randint(2, len(steps(whole)) - 1), Progress.step

    def told(progress: Progress, stage: str, **more: Any) -> None:
        step(progress, stage, **more)
        if more["step"] == last:
            os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(Progress, "step", told)
        assert run.main([str(cut)]) == run.CANCELLED
    run.cancel.reset()
    assert len(steps(cut)) == last and not (cut / "artifact").exists()
    assert json.loads((cut / "checkpoint" / "position.json").read_text())["base"], "other weights would be noticed"
    assert run.main([str(cut)]) == run.DONE
    assert len(steps(cut)) == len(steps(whole))
    for ours, theirs in zip(steps(cut), steps(whole), strict=True):
        assert ours == pytest.approx(theirs, abs=1e-5)
    ours, theirs = (weights(job / "artifact") for job in (cut, whole))
    assert ours.keys() == theirs.keys()
    assert all(torch.allclose(ours[name], theirs[name], atol=1e-6) for name in theirs)
    if "ties" in manifest(whole):
        assert manifest(cut)["ties"] == pytest.approx(manifest(whole)["ties"], abs=1e-6)


def weights(artifact: Path) -> dict[str, torch.Tensor]:
    """Of an ensemble of adapters those of every member."""
    return {
        f"{path.name} {name}": found
        for path in artifact.glob("*.safetensors")
        for name, found in load_file(path).items()
    }


def steps(job: Path) -> list[dict[str, float]]:
    return [line["metrics"] for line in read_lines(job / "progress.jsonl") if line["kind"] == "step"]


@pytest.mark.parametrize("option", ["davidson", "head", "ensemble", "adapters"])
def test_a_run_whose_pairs_weigh_nothing_says_that_nothing_was_trained(
    option: str, fixture_model: Path, tmp_path: Path
) -> None:
    """A parameter for ties or a penalty that moves by itself is no training."""
    data = write_planted(tmp_path / "data", train=8, test=4)
    write_rows(Path(data["train"]), [{**one, "weight": 1e-60} for one in planted_rows(8)])
    settings = {**FAST, **OPTIONS[option], "head_l2": 0.0}
    job = write_job(tmp_path / "run", "reward", fixture_model, data, **settings)
    assert run.main([str(job)]) == run.FAILED
    assert read_job(job) and "nothing_trained" in (job / "error.json").read_text()
