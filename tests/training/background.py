"""A run that is supervised beside the test, and waiting for what it does."""

import threading
import time
from collections.abc import Callable

from django.db import connection

from training.models import Run
from training.workflow import runner


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
