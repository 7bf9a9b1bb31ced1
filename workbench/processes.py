"""The process group of `manage.py up`: starts its parts, starts a dead one again, stops them all."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import psutil

from workbench import guard

LOG_LIMIT = 10 * 1024 * 1024
# Restarts wait 0.5, 1, 2, 4 ... seconds; a part that has lived for a minute starts again at once.
FIRST_DELAY, LONGEST_DELAY, HEALTHY_SECONDS = 0.5, 30.0, 60.0
IMPORTANT = (" ERROR ", " CRITICAL ", "[ERROR]", "[CRITICAL]")


@dataclass(frozen=True)
class Part:
    """One long-running child. `patience`: seconds from SIGTERM to SIGKILL."""

    name: str
    command: list[str]
    patience: float
    # Gets a pipe as standard input that closes when this process dies.
    watches_us: bool = False
    environment: dict[str, str] = field(default_factory=dict)


@dataclass
class _Child:
    part: Part
    log: Path
    process: "subprocess.Popen[bytes] | None" = None
    started: float = 0.0
    deaths: int = 0
    due: float = 0.0
    read_until: int = 0
    log_is_lost: bool = False


@dataclass
class Supervisor:
    """`say` prints one line on the terminal.

    Each child leads a process group of its own: Ctrl-C reaches only us, and we stop them in order.
    """

    home: Path
    folder: Path
    say: Callable[[str], None]
    environment: dict[str, str] = field(default_factory=dict)
    stop_requests: int = 0
    _children: list[_Child] = field(default_factory=list)
    _start: str = field(default_factory=lambda: f"{os.getpid()}-{time.time_ns()}")

    def listen_to_signals(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda _number, _frame: self._request_stop())

    def mark(self, part: str = "") -> str:
        return guard.mark_of(str(self.home), self._start, part)

    def start_guard(self) -> None:
        command = [sys.executable, str(Path(guard.__file__)), self.mark()]
        self.start(Part("guard", command, patience=2.0, watches_us=True))

    def start(self, part: Part) -> None:
        child = _Child(part, self.home / "logs" / f"{part.name}.log")
        self._children.append(child)
        self._launch(child)

    def is_alive(self, name: str) -> bool:
        return any(
            child.part.name == name and child.process and child.process.poll() is None for child in self._children
        )

    def last_lines(self, name: str, count: int = 15) -> str:
        """Empty when there is no log."""
        try:
            text = (self.home / "logs" / f"{name}.log").read_text(errors="replace")
        except OSError:
            return ""
        return "\n".join(text.splitlines()[-count:])

    def watch(self) -> None:
        """One look at every child: tells errors, starts the dead again."""
        for child in self._children:
            self._look_at_log(child)
            if child.process and child.process.poll() is not None:
                self._bury(child)
            if child.process is None and time.monotonic() >= child.due:
                self._launch(child)

    def stop(self) -> None:
        """Everything, what the children have started included: the last first, the broker last but the guard."""
        for child in reversed(self._children):
            if child.process:
                self._end(child)
        self._children.clear()

    def _request_stop(self) -> None:
        self.stop_requests += 1

    def _launch(self, child: _Child) -> None:
        environment = {
            **os.environ,
            **self.environment,
            **child.part.environment,
            guard.VARIABLE: self.mark(child.part.name),
            "PYTHONUNBUFFERED": "1",
        }
        with self._open_log(child) as output:
            child.process = subprocess.Popen(
                child.part.command,
                cwd=self.folder,
                env=environment,
                stdin=subprocess.PIPE if child.part.watches_us else subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                process_group=0,
            )
        child.started = time.monotonic()

    def _open_log(self, child: _Child) -> BinaryIO:
        """A part without its log serves better than none: the disk may be full."""
        try:
            child.log.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            output = child.log.open("ab")
        except OSError as error:
            self._lose_log(child, error)
            return open(os.devnull, "ab")
        child.read_until = output.tell()
        return output

    def _look_at_log(self, child: _Child) -> None:
        """Whatever is wrong with it (somebody deleted it, the disk is full) is said once and stops nothing."""
        try:
            self._tell_errors(child)
            _rotate(child.log)
            child.log_is_lost = False
        except OSError as error:
            self._lose_log(child, error)

    def _lose_log(self, child: _Child, error: OSError) -> None:
        if not child.log_is_lost:
            self.say(f"{child.part.name}: its log cannot be kept ({error})")
        child.log_is_lost = True

    def _bury(self, child: _Child) -> None:
        """Note the death, end what the dead one has left (its own children), and set the time of the next start."""
        assert child.process
        how = _how_it_ended(child.process.returncode)
        guard.end_marked(self.mark(child.part.name), patience=3.0)
        lived = time.monotonic() - child.started
        child.deaths = 1 if lived > HEALTHY_SECONDS else child.deaths + 1
        delay = min(FIRST_DELAY * 2 ** (child.deaths - 1), LONGEST_DELAY)
        child.process, child.due = None, time.monotonic() + delay
        self.say(f"{child.part.name} {how}; it is started again in {delay:g} s (log: {child.log})")

    def _end(self, child: _Child) -> None:
        assert child.process
        if child.process.stdin:
            child.process.stdin.close()
        own = [psutil.Process(child.process.pid)] if child.process.poll() is None else []
        # The child itself first: a worker must know that it is stopping before its training child ends.
        guard.ask(own)
        time.sleep(0.1)
        offspring = [found for found in guard.marked(self.mark(child.part.name)) if found.pid != child.process.pid]
        guard.ask(offspring)
        guard.outlast([*offspring, *own], child.part.patience, hurry=lambda: self.stop_requests > 1)
        child.process.wait()
        guard.end_marked(self.mark(child.part.name), patience=0.5)

    def _tell_errors(self, child: _Child) -> None:
        size = child.log.stat().st_size
        if size < child.read_until:
            child.read_until = 0
        if size == child.read_until:
            return
        with child.log.open("rb") as log:
            log.seek(child.read_until)
            fresh = log.read()
        complete = fresh[: fresh.rfind(b"\n") + 1]
        child.read_until += len(complete)
        for line in complete.decode(errors="replace").splitlines():
            if any(word in line for word in IMPORTANT):
                self.say(f"{child.part.name}: {line.strip()[:300]}")


def _how_it_ended(code: int) -> str:
    return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"


def _rotate(log: Path) -> None:
    """Copy and truncate: the child goes on writing at the end of the same file. Where there is no room for the copy,
    its lines are given up: a log must not be what keeps the disk full.
    """
    if log.stat().st_size <= LOG_LIMIT:
        return
    copy = log.with_suffix(".log.1")
    try:
        shutil.copyfile(log, copy)
    except OSError:
        copy.unlink(missing_ok=True)
        raise
    finally:
        os.truncate(log, 0)
