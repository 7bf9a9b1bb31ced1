"""Real child processes for runs that are to be killed: forked from a server that has torch and peft imported, so that
one starts in a tenth of a second and not in ten."""

from __future__ import annotations

import multiprocessing
import multiprocessing.forkserver
import os
import signal
import sys
import time
from functools import cache
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from pathlib import Path

from training.ml import run
from training.ml.progress import read_lines

PRELOADED = ["tests.training.ml.preloaded"]
SECONDS = 120  # a machine that has much to do


def start(directory: Path, **environment: str) -> BaseProcess:
    """`python -m training.ml.run directory`, as a child of the fork server; one thread, as sums depend on how many."""
    process = server().Process(target=_work, args=(str(directory), environment))
    process.start()
    return process


def finish(process: BaseProcess) -> int:
    """The exit code; negative for the signal that ended it."""
    process.join(SECONDS)
    assert process.exitcode is not None, "the child has not ended"
    return process.exitcode


def start_and_signal(directory: Path, step: int, number: signal.Signals) -> int:
    """Start the job in `directory`, signal it as soon as it has told of `step`, and return its exit code."""
    process = start(directory)
    deadline = time.monotonic() + SECONDS
    while last_step(directory) < step and process.is_alive() and time.monotonic() < deadline:
        time.sleep(0.005)
    os.kill(process.pid, number)
    return finish(process)


def last_step(directory: Path) -> int:
    return max((line.get("step", 0) for line in read_lines(directory / "progress.jsonl")), default=0)


@cache
def server() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    # The server takes the environment it is started in, once, and hands it to every child.
    with _environment("OMP_NUM_THREADS", "1"):
        multiprocessing.forkserver.ensure_running()
    return context


class _environment:
    def __init__(self, name: str, value: str) -> None:
        self.name, self.value, self.before = name, value, os.environ.get(name)

    def __enter__(self) -> None:
        os.environ[self.name] = self.value

    def __exit__(self, *_: object) -> None:
        if self.before is None:
            del os.environ[self.name]
        else:
            os.environ[self.name] = self.before


def _work(directory: str, environment: dict[str, str]) -> None:
    os.environ.update(environment)
    sys.exit(run.main([directory]))
