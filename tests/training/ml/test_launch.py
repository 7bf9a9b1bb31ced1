"""The real launcher: two processes on the CPU through `accelerate launch`, their end told by one exit code."""

from __future__ import annotations

import json
import math
import shutil
import signal
import time
from pathlib import Path

import psutil
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer

from tests.training.ml import child
from tests.training.ml.launching import in_one, job, launch, launch_and_signal, launched, steps
from tests.training.ml.test_together import assert_same
from tests.training.planted import planted_rows, write_rows
from training.ml import run

pytestmark = [pytest.mark.not_db, pytest.mark.slow, pytest.mark.long]


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


def test_the_launched_run_equals_one_process(fixture_model: Path, tmp_path: Path) -> None:
    """KTO, whose processes have to agree on more than gradients; every recipe does it without a launcher in
    test_together.py, and others are launched below."""
    found = job(tmp_path / "two", "kto", fixture_model)
    assert launched(found) == run.DONE, (found / "run.log").read_text()[-2000:]
    assert_same(found, in_one(job(tmp_path / "one", "kto", fixture_model)))


def test_every_adapter_of_an_ensemble_is_trained_by_both(fixture_model: Path, tmp_path: Path) -> None:
    config = {"members": 2, "ensemble_of": "adapters"}
    found = job(tmp_path / "two", "reward", fixture_model, **config)
    assert launched(found) == run.DONE, (found / "run.log").read_text()[-2000:]
    one = in_one(job(tmp_path / "one", "reward", fixture_model, **config))
    assert_same(found, one)
    ours, theirs = (load_file(where / "artifact" / "member_1.safetensors") for where in (found, one))
    assert all(torch.allclose(ours[name], theirs[name], atol=1e-5) for name in theirs)


def test_cancelled_in_the_middle_it_resumes_to_the_same_end(fixture_model: Path, tmp_path: Path) -> None:
    found = job(tmp_path / "two", "dpo", fixture_model, epochs=20, dropout=0.1)
    assert launch_and_signal(found, 3, signal.SIGTERM) == run.CANCELLED
    assert 3 <= len(steps(found)) < 60
    assert json.loads((found / "checkpoint" / "position.json").read_text())["step"] == len(steps(found))
    assert launched(found) == run.DONE
    assert_same(found, in_one(job(tmp_path / "one", "dpo", fixture_model, epochs=20, dropout=0.1)))


def test_fsdp_goes_the_same_way(fixture_model: Path, tmp_path: Path) -> None:
    config = {"parallel": "fsdp", "adapter": "full", "learning_rate": 0.001}
    found = job(tmp_path / "two", "sft", fixture_model, **config)
    assert launched(found) == run.DONE, (found / "run.log").read_text()[-2000:]
    assert_same(found, in_one(job(tmp_path / "one", "sft", fixture_model, **config)))


def test_a_process_that_fails_ends_the_run_with_its_reason_within_seconds(fixture_model: Path, tmp_path: Path) -> None:
    """One pair makes the loss NaN, in the process that its batch falls to; the other one waits for it in vain."""
    found = poisoned(tmp_path, fixture_model)
    process = launch(found)
    while not (found / "error.json").exists() and process.poll() is None:
        time.sleep(0.01)
    began = time.monotonic()
    assert process.wait(60) == run.FAILED
    assert time.monotonic() - began < 20
    told = json.loads((found / "error.json").read_text())
    assert told["code"] == "nan_loss"
    assert "p5" in told["message"]


def poisoned(directory: Path, fixture_model: Path) -> Path:
    """A reward run, of whose pairs one holds a word that the model has no number for."""
    model = shutil.copytree(fixture_model, directory / "model")
    tokenizer = AutoTokenizer.from_pretrained(model)
    word = tokenizer("Ω", add_special_tokens=False)["input_ids"][-1]
    weights = load_file(model / "model.safetensors")
    weights["model.embed_tokens.weight"][word] = math.nan
    save_file(weights, model / "model.safetensors", metadata={"format": "pt"})
    found = job(directory, "reward", model, epochs=100)
    rows = planted_rows(12)
    rows[5]["prompt"][0]["content"] += " Ω"
    write_rows(directory / "data" / "train.parquet", rows)
    return found


def test_a_process_killed_by_the_system_ends_the_run_within_seconds(fixture_model: Path, tmp_path: Path) -> None:
    found = job(tmp_path, "sft", fixture_model, epochs=100)
    process = launch(found)
    while child.last_step(found) < 3 and process.poll() is None:
        time.sleep(0.01)
    workers = psutil.Process(process.pid).children()
    assert len(workers) == 2
    workers[1].kill()
    began = time.monotonic()
    assert process.wait(60) == -signal.SIGKILL
    assert time.monotonic() - began < 20
    assert not any(worker.is_running() and worker.status() != psutil.STATUS_ZOMBIE for worker in workers)


def test_when_the_launcher_is_killed_the_processes_save_and_end(fixture_model: Path, tmp_path: Path) -> None:
    found = job(tmp_path, "sft", fixture_model, epochs=100)
    process = launch(found)
    while child.last_step(found) < 3 and process.poll() is None:
        time.sleep(0.01)
    workers = psutil.Process(process.pid).children()
    process.kill()
    process.wait()
    _gone, alive = psutil.wait_procs(workers, timeout=60)
    assert not alive
    assert json.loads((found / "checkpoint" / "position.json").read_text())["step"] >= 3
