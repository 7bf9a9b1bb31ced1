"""The supervisor with small real children: restarts, what is told, and the end of all of them."""

import errno
import sys
import time
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import psutil
import pytest

from tests.workbench.server import until
from workbench import guard, processes
from workbench.management.commands.up import Command
from workbench.processes import Part, Supervisor

pytestmark = pytest.mark.not_db

STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"
)
PARENT = "import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'], start_new_session=True); time.sleep(60)"  # noqa: E501

# Asked to end, it starts another process first, as a worker does that is just about to start its beat.
LATE_PARENT = """
import signal, subprocess, sys, time
def bear(*_):
    time.sleep(0.3)
    subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'], start_new_session=True)
    sys.exit()
signal.signal(signal.SIGTERM, bear)
print('ready', flush=True)
time.sleep(60)
"""


@pytest.fixture
def lines() -> list[str]:
    return []


@pytest.fixture
def supervisor(tmp_path: Path, lines: list[str]) -> Iterator[Supervisor]:
    made = Supervisor(tmp_path, tmp_path, lines.append)
    yield made
    made.stop_requests = 2
    made.stop()


def part(code: str, patience: float = 2.0) -> Part:
    return Part("sleeper", [sys.executable, "-c", code], patience)


def living(supervisor: Supervisor) -> list[psutil.Process]:
    return guard.marked(supervisor.mark())


def test_a_child_that_ends_is_started_again_later_and_later(supervisor: Supervisor, lines: list[str]) -> None:
    supervisor.start(part("raise SystemExit(3)"))
    until(lambda: (supervisor.watch(), len(lines) >= 2)[1], 15, "two restarts")
    assert "sleeper ended with exit code 3; it is started again in 0.5 s" in lines[0]
    assert "it is started again in 1 s" in lines[1]


def test_what_a_child_has_started_ends_with_it_even_in_another_session(
    supervisor: Supervisor, lines: list[str]
) -> None:
    supervisor.start(part(PARENT))
    until(lambda: len(living(supervisor)) == 2, 10, "the grandchild")
    supervisor.stop()
    assert living(supervisor) == []


def test_what_a_child_starts_while_it_is_asked_to_end_ends_too(supervisor: Supervisor) -> None:
    supervisor.start(part(LATE_PARENT))
    until(lambda: "ready" in supervisor.last_lines("sleeper"), 10, "the child")
    supervisor.stop()
    assert living(supervisor) == []


def test_a_deaf_child_is_killed_when_patience_ends(supervisor: Supervisor) -> None:
    supervisor.start(part(STUBBORN, patience=0.5))
    until(lambda: "deaf" in supervisor.last_lines("sleeper"), 10, "the child")
    began = time.monotonic()
    supervisor.stop()
    assert 0.4 < time.monotonic() - began < 5
    assert living(supervisor) == []


def test_a_second_request_to_stop_does_not_wait(supervisor: Supervisor) -> None:
    supervisor.start(part(STUBBORN, patience=30))
    until(lambda: "deaf" in supervisor.last_lines("sleeper"), 10, "the child")
    supervisor.stop_requests = 2
    began = time.monotonic()
    supervisor.stop()
    assert time.monotonic() - began < 5


def test_errors_in_a_log_are_told_and_the_rest_is_not(supervisor: Supervisor, lines: list[str]) -> None:
    supervisor.start(part("import time; print('x INFO y\\nx ERROR the disk is gone', flush=True); time.sleep(60)"))
    until(lambda: (supervisor.watch(), lines)[1], 10, "the line")
    assert lines == ["sleeper: x ERROR the disk is gone"]


def test_a_log_that_grows_is_cut_and_the_child_goes_on_writing(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "LOG_LIMIT", 20_000)
    supervisor.start(part("import time\nwhile True: print('.' * 1000, flush=True); time.sleep(0.01)"))
    log = supervisor.home / "logs" / "sleeper.log"
    until(lambda: (supervisor.watch(), log.with_suffix(".log.1").exists())[1], 20, "the cut")
    assert log.stat().st_size < 20_000
    size = log.stat().st_size
    until(lambda: log.stat().st_size != size, 10, "more lines")


def test_a_log_that_somebody_deletes_stops_nothing(supervisor: Supervisor, lines: list[str]) -> None:
    supervisor.start(part("import time; print('x ERROR one', flush=True); time.sleep(60)"))
    until(lambda: (supervisor.watch(), lines)[1], 10, "the line")
    (supervisor.home / "logs" / "sleeper.log").unlink()
    for _ in range(3):
        supervisor.watch()
    assert supervisor.is_alive("sleeper")
    assert supervisor.last_lines("sleeper") == ""
    assert len(lines) == 2 and "its log cannot be kept" in lines[1]


def test_a_part_that_can_have_no_log_starts_without_one(supervisor: Supervisor, lines: list[str]) -> None:
    """A file in the place of the folder; a disk without room for another file is the same."""
    (supervisor.home / "logs").touch()
    supervisor.start(part("import time; print('x', flush=True); time.sleep(60)"))
    for _ in range(3):
        supervisor.watch()
    assert supervisor.is_alive("sleeper")
    assert len(lines) == 1 and lines[0].startswith("sleeper: its log cannot be kept (")


def test_a_log_is_cut_without_a_copy_where_the_disk_has_no_room(
    supervisor: Supervisor, lines: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "LOG_LIMIT", 20_000)
    supervisor.start(part("import time; print('.' * 30_000, flush=True); time.sleep(60)"))
    log = supervisor.home / "logs" / "sleeper.log"
    log.with_suffix(".log.1").symlink_to("/dev/full")
    until(lambda: (supervisor.watch(), lines)[1], 10, "the line")
    supervisor.watch()
    assert supervisor.is_alive("sleeper")
    assert log.stat().st_size == 0 and not log.with_suffix(".log.1").is_symlink()
    assert len(lines) == 1 and "No space left on device" in lines[0]


class FullDisk(StringIO):
    def flush(self) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_terminal_that_takes_nothing_ends_nothing() -> None:
    """Under `up > up.txt` on a full disk the first line told would end it all."""
    Command(stdout=FullDisk())._say("web was ended by SIGKILL")


def test_another_home_whose_name_begins_alike_is_left_alone(tmp_path: Path) -> None:
    neighbour = Supervisor(tmp_path / "home2", tmp_path, print)
    neighbour.start(part("import time; time.sleep(60)"))
    try:
        assert guard.marked(guard.mark_of(str(tmp_path / "home"))) == []
        assert len(guard.marked(guard.mark_of(str(tmp_path / "home2")))) == 1
    finally:
        neighbour.stop()
