"""Ends the processes that a start of `manage.py up` has left behind, known by a mark in their environment.

Also a script, `python workbench/guard.py MARK`: waits until its standard input closes, which the death of `up` does in
whatever way it died, and ends everything with that mark. It imports nothing of the project, so that it costs 10 MB.
"""

import signal
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress

import psutil

VARIABLE = "PLUMBLINE_STARTED_BY"
PATIENCE_SECONDS = 8.0


def mark_of(home: str, start: str = "", part: str = "") -> str:
    """What the environment of a process holds; a shorter mark is the beginning of all the longer ones."""
    mark = f"{home}|"
    if start:
        mark += f"{start}|"
    return mark + part


def marked(mark: str) -> list[psutil.Process]:
    """Living processes whose mark begins with `mark`; this one and those it runs under excepted."""
    own = {psutil.Process().pid, *(parent.pid for parent in psutil.Process().parents())}
    return [
        process for process in psutil.process_iter() if process.pid not in own and mark_on(process).startswith(mark)
    ]


def end(processes: Iterable[psutil.Process], patience: float) -> int:
    """SIGTERM, then SIGKILL to those still there after `patience` seconds; returns how many were alive at first."""
    alive = [process for process in processes if not is_gone(process)]
    ask(alive)
    outlast(alive, patience)
    return len(alive)


def end_marked(mark: str, patience: float) -> int:
    """Like `end`, and again until none is left: one that is asked to end may just be starting another."""
    ended, deadline = end(marked(mark), patience), time.monotonic() + 2 * patience
    while (late := marked(mark)) and time.monotonic() < deadline:
        ended += end(late, patience=0.5)
    return ended


def ask(processes: Iterable[psutil.Process]) -> None:
    for process in processes:
        _send(process, signal.SIGTERM)


def outlast(processes: Iterable[psutil.Process], patience: float, hurry: Callable[[], bool] = lambda: False) -> None:
    """Wait until all are gone; SIGKILL to those still there after `patience` seconds, or as soon as `hurry` says so."""
    alive, deadline = list(processes), time.monotonic() + patience
    while alive and time.monotonic() < deadline and not hurry():
        time.sleep(0.05)
        alive = [process for process in alive if not is_gone(process)]
    for process in alive:
        _send(process, signal.SIGKILL)
    # Not `psutil.wait_procs`, which would collect the exit status that a Popen of ours is waiting for.
    deadline = time.monotonic() + 1.0
    while time.monotonic() < deadline and not all(is_gone(process) for process in alive):
        time.sleep(0.01)


def is_gone(process: psutil.Process) -> bool:
    """Dead; also when nobody has collected its exit status yet."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def mark_on(process: psutil.Process) -> str:
    """Empty for processes of others, and for one that ended just now."""
    try:
        return process.environ().get(VARIABLE, "")
    except (psutil.Error, OSError):
        return ""


def _send(process: psutil.Process, number: signal.Signals) -> None:
    with suppress(psutil.NoSuchProcess):
        process.send_signal(number)


if __name__ == "__main__":
    sys.stdin.buffer.read()
    end_marked(sys.argv[1], PATIENCE_SECONDS)
