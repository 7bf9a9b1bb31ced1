"""Watches the supervising process: when it is gone, this one saves its checkpoint and ends."""

import os
import signal
import threading
import time

from training.ml import launched

# Set by the supervisor; a job started by hand has none and is not watched, so that it outlives its terminal.
VARIABLE = "PLUMBLINE_SUPERVISOR_PID"
SECONDS = 1.0


def watch() -> None:
    """Call after `cancel.install`: a supervisor that is gone is the same as SIGTERM. One of several processes watches
    the launcher, its parent, which watches the supervisor."""
    supervisor = str(os.getppid()) if launched.processes() > 1 else os.environ.get(VARIABLE, "")
    if supervisor.isdigit():
        threading.Thread(target=_watch, args=(int(supervisor),), daemon=True).start()


def _watch(supervisor: int) -> None:
    """A process whose parent dies is given another one. The parent may have died before we got here: its id says so."""
    while os.getppid() == supervisor:
        time.sleep(SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)
