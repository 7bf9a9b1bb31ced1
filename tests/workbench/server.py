"""A real `manage.py up` in a folder and on a port of its own."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import psutil

from workbench import guard

ROOT = Path(__file__).resolve().parents[2]
OF_THE_SUITE = ("DATABASE_URL", "CELERY_BROKER_URL", "DJANGO_ALLOW_ASYNC_UNSAFE")
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def environment(home: Path) -> dict[str, str]:
    """Without the servers that the suite itself may run against, and what browser tests of this process have set: every
    test of `up` is one of the desk's defaults."""
    kept = {key: value for key, value in os.environ.items() if key not in OF_THE_SUITE}
    return {**kept, "PLUMBLINE_HOME": str(home)}


def manage(home: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    """A management command, to its end."""
    command = [sys.executable, "manage.py", *words]
    return subprocess.run(command, cwd=ROOT, env=environment(home), capture_output=True, text=True, timeout=60)


def until(condition: Callable[[], object], seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.05)


class Server:
    """Started with `--with-parent`, so that not even a killed test run leaves it behind."""

    def __init__(self, home: Path) -> None:
        self.home, self.port, self.output = home, free_port(), home / "up.txt"
        home.mkdir(exist_ok=True)

    def start(self, *words: str) -> "Server":
        command = [sys.executable, "manage.py", "up", "--port", str(self.port), "--with-parent", *words]
        with self.output.open("a") as output:
            self.process = subprocess.Popen(
                command, cwd=ROOT, env=environment(self.home), stdout=output, stderr=subprocess.STDOUT
            )
        until(lambda: self.said("Plumbline is at") or self.process.poll() is not None, 45, "the server's start")
        assert self.process.poll() is None, self.output.read_text()
        return self

    def said(self, words: str) -> bool:
        return words in self.output.read_text()

    def status(self, path: str = "healthz") -> int:
        """The HTTP status; 0 when nobody listens."""
        try:
            with DIRECT.open(f"http://127.0.0.1:{self.port}/{path}", timeout=5) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0

    def parts(self, name: str = "") -> list[psutil.Process]:
        """Living processes of this home, or those of one part of it."""
        every = guard.marked(guard.mark_of(str(self.home)))
        return [process for process in every if re.search(rf"\|{name}", guard.mark_on(process))]

    def leaders(self, name: str) -> list[psutil.Process]:
        """What `up` itself started for the part: one process, or none while it is dead."""
        children = {child.pid for child in psutil.Process(self.process.pid).children()}
        return [process for process in self.parts(name) if process.pid in children]

    def leader(self, name: str) -> psutil.Process:
        found = self.leaders(name)
        assert found, f"no {name} among {self.parts()}"
        return found[0]

    def interrupt(self) -> float:
        """Ctrl-C; the seconds until `up` was gone."""
        began = time.monotonic()
        self.process.send_signal(signal.SIGINT)
        self.process.wait(timeout=20)
        return time.monotonic() - began

    def end(self) -> None:
        """Whatever a test has left."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        guard.end(self.parts(), patience=3.0)
