"""The training process of a supervisor, forked from the server of tests/training/ml/child.py: a process with a session,
a log, signals and an exit code of its own, which is there in a tenth of a second and not after ten of imports.

What a command line or a parent is asked for needs the real one: whoever looks for old children, and an orphan's end.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

from tests.training.ml.child import server
from training.ml import parent, run


class ForkedChild:
    """The part of `subprocess.Popen` that training/workflow/children.py uses."""

    def __init__(self, command: list[str], *, env: dict[str, str], stdout: Any, start_new_session: bool, **_: Any):
        assert command[1:-1] == ["-m", "training.ml.run"] and start_new_session
        self._process = server().Process(target=_work, args=(command[-1], env, stdout.name))
        self._process.start()
        self.pid = self._process.pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        self.returncode = self._process.exitcode
        return self.returncode

    def wait(self, timeout: float | None = None) -> int | None:
        self._process.join(timeout)
        if self.poll() is None:
            raise subprocess.TimeoutExpired("forked", timeout or 0)
        return self.returncode

    def terminate(self) -> None:
        self._process.terminate()


def _work(folder: str, environment: dict[str, str], log: str) -> None:
    os.setsid()
    written = os.open(Path(log), os.O_WRONLY | os.O_APPEND)
    os.dup2(written, 1)
    os.dup2(written, 2)
    os.environ.clear()
    # One thread, as the server was started with; and its parent is the server, which ends with the tests.
    os.environ.update({**environment, "OMP_NUM_THREADS": "1", parent.VARIABLE: str(os.getppid())})
    run.leave([folder])
