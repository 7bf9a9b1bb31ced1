"""A run that is supervised beside the test, and waiting for what it does."""

import json
import threading
import time
from collections.abc import Callable

import psutil
from django.db import connection

from training.models import Run
from training.workflow import children, runner
from training.workflow.folders import folder_of, progress_of
from training.workflow.tails import Tail


def in_background(run: Run) -> threading.Thread:
    def work() -> None:
        try:
            runner.execute(run.pk)
        finally:
            connection.close()

    thread = threading.Thread(target=work)
    thread.start()
    return thread


def until(true: Callable[[], object], seconds: float = 90) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def lines_of(run: Run) -> list[dict]:
    """What the training process has written about its steps."""
    lines = Tail(progress_of(run)).lines()
    return [line for line in lines if line["kind"] == "step" and line["stage"] == "training"]


def steps_of(run: Run) -> list[int]:
    return [line["step"] for line in lines_of(run)]


def trained_a_bit(run: Run) -> Callable[[], bool]:
    return lambda: len(steps_of(run)) >= 4


def child_of(run: Run) -> psutil.Process:
    return psutil.Process(pid_of(run))


def pid_of(run: Run) -> int:
    return json.loads((folder_of(run) / children.PID_FILE).read_text())["pid"]
