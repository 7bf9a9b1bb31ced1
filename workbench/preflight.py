"""What must be so before `manage.py up` starts anything: one start at a time, a free port, room on the disks."""

import errno
import fcntl
import json
import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from training.workflow.disk import DEMO_COPY
from training.workflow.folders import nearest_existing

GIB = 1024**3
# For database, logs and static files, or for a run.
WORKING_BYTES = 200_000_000


class NotReady(Exception):
    """One line that says what is in the way and what to do."""


@contextmanager
def only_start(home: Path, address: str) -> Iterator[None]:
    """Hold the lock of this home. The kernel lets go of it however the process ends.

    Raises:
        NotReady: another `up` holds it.
    """
    folder = home / "run"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (folder / "up.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise NotReady(_already_running(home)) from error
        _state_file(home).write_text(json.dumps({"pid": os.getpid(), "address": address}))
        try:
            yield
        finally:
            _state_file(home).unlink(missing_ok=True)


def running_start(home: Path) -> dict[str, object] | None:
    """`{"pid", "address"}` of the `up` that holds this home, or None."""
    lock = home / "run" / "up.lock"
    if not lock.exists():
        return None
    with lock.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return _read_state(home)
    return None


def require_free_port(host: str, port: int) -> None:
    """Raises NotReady when the address cannot be listened on."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except (OSError, OverflowError) as error:
            raise NotReady(_port_trouble(host, port, error)) from error


@dataclass(frozen=True)
class Room:
    """What is free on the disk of a folder, and what is needed there, in bytes; `variable` moves the folder."""

    folder: Path
    variable: str
    free: int
    needed: int


def room_on_disks(home: Path, runs: Path, models: Path, *, model_copy_exists: bool) -> list[Room]:
    """One for each disk that something will be written on, under the name of the first folder that lies on it."""
    wanted = [("PLUMBLINE_HOME", home, WORKING_BYTES)]
    if _disk_of(runs) != _disk_of(home):
        wanted.append(("PLUMBLINE_RUNS_DIR", runs, WORKING_BYTES))
    if not model_copy_exists:
        wanted.append(("PLUMBLINE_MODELS_DIR", models, DEMO_COPY))
    found: dict[int, Room] = {}
    for variable, folder, needed in wanted:
        known = found.get(_disk_of(folder)) or Room(folder, variable, _free_at(folder), 0)
        found[_disk_of(folder)] = replace(known, needed=known.needed + needed)
    return list(found.values())


def require_space(rooms: list[Room]) -> None:
    """Raises NotReady when one of the disks has too little room."""
    for room in rooms:
        if room.free < room.needed:
            raise NotReady(
                f"Too little disk space for {room.folder}: {room.free / GIB:.2f} GiB are free, "
                f"{room.needed / GIB:.2f} GiB are needed. "
                f"Make room, or set {room.variable} to a folder on another disk."
            )


def _disk_of(folder: Path) -> int:
    return nearest_existing(folder).stat().st_dev


def _free_at(folder: Path) -> int:
    return shutil.disk_usage(nearest_existing(folder)).free


def _port_trouble(host: str, port: int, error: OSError | OverflowError) -> str:
    if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
        return (
            f"Port {port} on {host} is taken: stop the program that uses it, or choose another "
            f"(`make demo PORT={port + 1}`, `python manage.py up --port {port + 1}`)."
        )
    if isinstance(error, PermissionError):
        return f"Port {port} on {host} may not be used without special rights: choose one above 1023."
    return f"Cannot listen on {host}, port {port} ({error}): choose another with --host and --port."


def _already_running(home: Path) -> str:
    state = _read_state(home)
    return (
        f"Plumbline is already running on {home}: {state.get('address', '')} (process {state.get('pid', 'unknown')})."
    )


def _state_file(home: Path) -> Path:
    return home / "run" / "up.json"


def _read_state(home: Path) -> dict[str, object]:
    try:
        return dict(json.loads(_state_file(home).read_text()))
    except (OSError, ValueError):
        # The other start has the lock but has not written yet.
        return {}
