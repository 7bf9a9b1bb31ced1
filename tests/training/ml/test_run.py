"""The child process tells how it ended, by exit code and error.json, and can be stopped and started again."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from training.ml import run
from training.ml.errors import ModelError
from training.ml.job import read_job
from training.ml.run import explain
from training.recipes import RecipeError

ROOT = Path(__file__).resolve().parents[3]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}


def write_job(directory: Path, model: Path, *, prompts: int = 3, **changes) -> Path:
    directory.mkdir(exist_ok=True)
    rows = [{"id": n, "messages": [{"role": "user", "content": f"Question {n}?"}]} for n in range(prompts)]
    (directory / "prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    config = {"max_new_tokens": 8, "batch_size": 4, **changes.pop("config", {})}
    job = {"format": 1, "run": 1, "recipe": "sample", "seed": 0, "config": config, "reference_model": None}
    job |= {"model": {"base": str(model), "adapters": []}, "data": None, "cache": str(directory / "cache")}
    job |= {"prompts": str(directory / "prompts.jsonl"), "lineage": {}, **changes}
    (directory / "job.json").write_text(json.dumps(job))
    return directory


def start(directory: Path) -> subprocess.Popen:
    command = [sys.executable, "-m", "training.ml.run", str(directory)]
    return subprocess.Popen(command, cwd=ROOT, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True)


def sample_lines(directory: Path) -> list[str]:
    path = directory / "samples.jsonl"
    return path.read_text().splitlines() if path.exists() else []


def wait_for_samples(directory: Path, child: subprocess.Popen) -> None:
    deadline = time.monotonic() + 120
    while not sample_lines(directory):
        assert child.poll() is None and time.monotonic() < deadline, "the child ended or never drew a sample"
        time.sleep(0.02)


def test_a_job_that_succeeds_exits_0_at_low_priority_and_without_an_error(fixture_model, tmp_path):
    directory = write_job(tmp_path / "job", fixture_model, prompts=40, config={"max_new_tokens": 60})
    (directory / "error.json").write_text("{}")
    child = start(directory)
    wait_for_samples(directory, child)
    nice = int(Path(f"/proc/{child.pid}/stat").read_text().rsplit(")", 1)[1].split()[16])
    assert nice >= 10
    _, log = child.communicate(timeout=120)
    assert child.returncode == 0, log
    assert json.loads((directory / "result.json").read_text())["samples"] == 80
    assert not (directory / "error.json").exists()
    assert "Loading weights" not in log


def test_a_known_failure_exits_2_and_says_what_and_what_to_do(tmp_path):
    directory = write_job(tmp_path / "job", Path("/no/such/model"))
    child = start(directory)
    _, log = child.communicate(timeout=120)
    assert child.returncode == 2
    error = json.loads((directory / "error.json").read_text())
    assert error["code"] == "unknown_model"
    assert "/no/such/model" in error["message"] and error["hint"]
    assert "unknown_model" in log and "Traceback" not in log


def test_sigterm_exits_4_and_a_kill_9_loses_nothing_that_was_written(fixture_model, tmp_path):
    directory = write_job(tmp_path / "job", fixture_model, prompts=60, config={"max_new_tokens": 120})
    child = start(directory)
    wait_for_samples(directory, child)
    child.send_signal(signal.SIGTERM)
    _, log = child.communicate(timeout=60)
    assert child.returncode == 4, log
    cancelled_at = sample_lines(directory)
    assert 0 < len(cancelled_at) < 120

    child = start(directory)
    while len(sample_lines(directory)) <= len(cancelled_at):
        assert child.poll() is None
        time.sleep(0.02)
    child.kill()
    child.communicate()

    child = start(directory)
    _, log = child.communicate(timeout=120)
    assert child.returncode == 0, log
    assert sample_lines(directory)[: len(cancelled_at)] == cancelled_at
    keys = {(row["prompt"], row["index"]) for row in map(json.loads, sample_lines(directory))}
    assert len(keys) == len(sample_lines(directory)) == 120


LEAVING = """
import atexit, os
from training.ml import run
atexit.register(os.abort)  # stands for a thread of gloo that lets go of a tensor while the interpreter ends
{before}
run.leave([{directory!r}])
"""


@pytest.mark.parametrize(
    ("processes", "before", "code", "told"),
    [
        ("2", "", 2, "bad_job"),
        ("2", "run.main = lambda arguments: {}['where']", 1, "KeyError: 'where'"),
        ("1", "", -signal.SIGABRT, "bad_job"),
    ],
)
def test_one_of_several_processes_ends_with_its_code_whatever_its_threads_do(processes, before, code, told, tmp_path):
    """The one that is alone has no such threads, and ends as any Python program does."""
    script = LEAVING.format(before=before, directory=str(tmp_path))
    environment = {**ENVIRONMENT, "WORLD_SIZE": processes, "RANK": "0"}
    ended = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60
    )
    assert ended.returncode == code, ended.stderr
    assert told in ended.stderr


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"recipe": "magic"}, "magic"),
        ({"config": {"temprature": 1}}, "temprature"),
        ({"config": {"temperature": 9}}, "between 0.0 and 2.0"),
        ({"config": {"samples_per_prompt": True}}, "whole number"),
        ({"config": {"top_p": "high"}}, "top_p"),
    ],
)
def test_a_bad_setting_is_named(tmp_path, changes, word):
    with pytest.raises(RecipeError, match=word) as caught:
        read_job(write_job(tmp_path / "job", tmp_path, **changes))
    told = explain(caught.value, tmp_path)
    assert told.code == "bad_config" and word in told.message


@pytest.mark.parametrize("content", [None, "{", "[]", '{"format": 2}', '{"format": 1}', '{"format":1,"run":"x"}'])
def test_a_job_that_cannot_be_read_is_told(tmp_path, content):
    if content is not None:
        (tmp_path / "job.json").write_text(content)
    with pytest.raises(ModelError) as caught:
        read_job(tmp_path)
    assert caught.value.code == "bad_job"


@pytest.mark.parametrize("changes", [{"data": "train"}, {"data": 1}, {"model": []}, {"run": 1e999}, {"cache": None}])
def test_a_job_with_a_value_of_another_kind_is_told(tmp_path, changes):
    path = write_job(tmp_path / "job", tmp_path) / "job.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    with pytest.raises(ModelError) as caught:
        read_job(path.parent)
    assert caught.value.code == "bad_job" and str(path) in caught.value.message


def beneath(cause: Exception) -> RuntimeError:
    """As torch's: closing the file failed, too."""
    error = RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 704 vs 598")
    error.__context__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (OSError(28, "No space left on device"), "disk_full"),
        (RuntimeError("[enforce fail] PytorchStreamWriter failed writing file data/0"), "disk_full"),
        (beneath(OSError(28, "No space left on device")), "disk_full"),
        (MemoryError(), "out_of_memory"),
        (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"), "out_of_memory"),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), "out_of_memory"),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), "out_of_memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"), "out_of_memory"),
    ],
)
def test_a_full_memory_or_disk_is_told_as_such(error, code, tmp_path):
    assert explain(error, tmp_path).code == code


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES, errno.EPERM])
def test_a_folder_that_may_not_be_written_is_named_with_the_code_of_a_known_failure(
    tmp_path, fixture_model, monkeypatch, capsys, number
):
    def refuse(*arguments, **named):
        raise OSError(number, os.strerror(number), str(tmp_path / "job" / "progress.jsonl"))

    directory = write_job(tmp_path / "job", fixture_model)
    (directory / "error.json").write_text("{}")  # of an earlier attempt
    for name in ("unlink", "write_text"):
        monkeypatch.setattr(Path, name, refuse)
    monkeypatch.setattr(run, "perform", refuse)
    assert run.main([str(directory)]) == run.FAILED
    said = capsys.readouterr().err
    assert f"no_access: {directory}/progress.jsonl cannot be written or read: {os.strerror(number)}." in said
    assert "error.json could not be written" in said and "Traceback" not in said


def test_a_defect_is_not_dressed_up(tmp_path):
    assert explain(RuntimeError("shapes do not match"), tmp_path) is None
    assert explain(FileNotFoundError(2, "No such file"), tmp_path) is None
