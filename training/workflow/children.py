"""The training process: started in a session of its own, stopped kindly and then not, and never two in one folder."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil
from django.conf import settings

from training.workflow.devices import devices_of

# Long enough for a slow step and a checkpoint; then the process is killed and goes on from the checkpoint before.
GRACE_SECONDS = 60.0
# Shorter: while it waits for a predecessor's child, a supervisor does not beat.
OLD_CHILD_GRACE_SECONDS = 20.0
PID_FILE = "child.pid"
# The child watches this process and stops when it is gone (training/ml/parent.py).
SUPERVISOR_VARIABLE = "PLUMBLINE_SUPERVISOR_PID"
# `up` keeps web and worker small by giving every freed block back to the system at once. For a training step that is
# half as much processor time again (15 and 23 s a step of the demo model, measured), so a child does without.
OF_SMALL_PROCESSES = ("MALLOC_ARENA_MAX", "MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_")


def start(folder: Path, device: str, attempt: int, shared: bool = False) -> subprocess.Popen[bytes]:
    """`python -m training.ml.run FOLDER`; its output goes to run.log. An older child of the folder is ended first.

    A job that can be `shared` out and has several devices is started through `accelerate launch`, with the same exit
    codes."""
    end_old_child(folder)
    with (folder / "run.log").open("ab") as log:
        log.write(f"--- start {attempt}, {time.strftime('%Y-%m-%d %H:%M:%S %z')}\n".encode())
        log.flush()
        child = subprocess.Popen(
            _command(folder, devices_of(device).processes if shared else 1),
            cwd=settings.BASE_DIR,
            env=_environment(device),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    (folder / PID_FILE).write_text(json.dumps({"pid": child.pid, "host": socket.gethostname()}), encoding="utf-8")
    return child


def ask_to_stop(child: subprocess.Popen[bytes]) -> None:
    """SIGTERM: finish the step, save a checkpoint, exit."""
    if child.poll() is None:
        child.terminate()


def kill(child: subprocess.Popen[bytes]) -> None:
    """SIGKILL to the child and whatever it started: the processes of a launcher have sessions of their own."""
    if child.poll() is None:
        started = _started_by(child.pid)
        os.killpg(child.pid, signal.SIGKILL)
        for process in started:
            with suppress(psutil.NoSuchProcess):
                process.kill()
    child.wait()


def stop(child: subprocess.Popen[bytes], grace: float = GRACE_SECONDS) -> int:
    """Ask, wait, kill; the exit code."""
    ask_to_stop(child)
    try:
        return child.wait(timeout=grace)
    except subprocess.TimeoutExpired:
        kill(child)
        return child.returncode


def end_old_child(folder: Path, grace: float = OLD_CHILD_GRACE_SECONDS) -> None:
    """A child whose supervisor was killed may be saving its checkpoint: it must be gone before another starts."""
    for process in _children_of(folder):
        try:
            process.terminate()
            process.wait(timeout=grace)
        except psutil.TimeoutExpired:
            process.kill()
            process.wait()
        except psutil.NoSuchProcess:
            continue


def _children_of(folder: Path) -> list[psutil.Process]:
    """The process of child.pid if it is still ours, as a process id is soon given to somebody else; and, of several
    that worked together, those that have outlived their launcher."""
    try:
        note = json.loads((folder / PID_FILE).read_text(encoding="utf-8"))
        noted = int(note["pid"]) if note["host"] == socket.gethostname() else 0
    except (OSError, ValueError, KeyError):
        return []
    found = [process for process in psutil.process_iter() if _works_on(folder, process, noted)]
    return sorted(found, key=lambda process: process.pid != noted)  # the launcher ends its own


def _works_on(folder: Path, process: psutil.Process, noted: int) -> bool:
    try:
        words = process.cmdline()
        ours = str(folder) in words and (process.pid == noted or "training.ml.run" in words)
        return ours and process.status() != psutil.STATUS_ZOMBIE
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return False


def _started_by(number: int) -> list[psutil.Process]:
    try:
        return psutil.Process(number).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def _command(folder: Path, processes: int) -> list[str]:
    if processes == 1:
        return [sys.executable, "-m", "training.ml.run", str(folder)]
    return [sys.executable, "-m", "training.ml.launch", str(folder), str(processes)]


def _environment(device: str) -> dict[str, str]:
    """A slot called gpu0, gpu0+1 … sees those GPUs only, one called cpu … sees none."""
    more = {SUPERVISOR_VARIABLE: str(os.getpid()), "PYTHONUNBUFFERED": "1", "TOKENIZERS_PARALLELISM": "false"}
    visible = devices_of(device).visible
    if visible is not None:
        more["CUDA_VISIBLE_DEVICES"] = visible
    return {**{name: value for name, value in os.environ.items() if name not in OF_SMALL_PROCESSES}, **more}
