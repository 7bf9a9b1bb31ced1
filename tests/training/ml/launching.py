"""Jobs in two processes: through the real launcher, or forked from a server that has everything imported already."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from safetensors.torch import load_file

from tests.training.demonstrations import write_demonstrations
from tests.training.ml import child
from tests.training.ml.jobs import write_job
from tests.training.planted import write_planted
from training.ml import run
from training.ml.progress import read_lines

ROOT = Path(__file__).parents[3]
SECONDS = 240  # two processes import torch, on a machine that has much to do


def launch(directory: Path, processes: int = 2) -> subprocess.Popen[bytes]:
    """`python -m training.ml.launch`, as the supervisor starts it."""
    command = [sys.executable, "-m", "training.ml.launch", str(directory), str(processes)]
    log = (directory / "run.log").open("ab")
    return subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"}, stdout=log, stderr=subprocess.STDOUT
    )


def launched(directory: Path, processes: int = 2) -> int:
    return launch(directory, processes).wait(SECONDS)


def launch_and_signal(directory: Path, step: int, number: signal.Signals) -> int:
    """Signal the launcher as soon as the run has told of `step`; the exit code."""
    process = launch(directory)
    deadline = time.monotonic() + SECONDS
    while child.last_step(directory) < step and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(number)
    return process.wait(SECONDS)


def forked(directory: Path, processes: int = 2) -> list[int]:
    """The exit codes of the same processes without their launcher, which costs seconds of imports for each."""
    started = fork(directory, processes)
    return [child.finish(process) for process in started]


def fork(directory: Path, processes: int = 2) -> list[BaseProcess]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    told = {"WORLD_SIZE": str(processes), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    return [child.start(directory, **told, RANK=str(number), LOCAL_RANK=str(number)) for number in range(processes)]


def job(directory: Path, recipe: str, model: Path, train: int = 12, **config: Any) -> Path:
    """Of six steps with the settings given here, and data and cache of its own."""
    write = write_demonstrations if recipe == "sft" else write_planted
    settings = {"learning_rate": 0.003, "batch_size": 2, "gradient_accumulation": 2, "epochs": 2, "rank": 4}
    data = write(directory / "data", train=train, test=2)
    return write_job(directory / "run", recipe, model, data, **settings | config)


def in_one(directory: Path) -> Path:
    """The same job in this process, to its end."""
    assert run.main([str(directory)]) == run.DONE
    return directory


def steps(directory: Path) -> list[dict[str, float]]:
    return [line["metrics"] for line in read_lines(directory / "progress.jsonl") if line["kind"] == "step"]


def weights(directory: Path) -> dict[str, Any]:
    return load_file(next((directory / "artifact").glob("*model.safetensors")))
