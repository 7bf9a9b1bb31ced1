"""The training process: started in a session of its own, stopped kindly and then not, and never beside an old one."""

import json
import math
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import psutil
from django.conf import settings

from training.models import Run
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
    """`python -m training.ml.run FOLDER`; its output goes to run.log. Old children are ended first.

    A job that can be `shared` out and has several devices is started through `accelerate launch`, with the same exit
    codes."""
    end_old_children(folder)
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
    try:
        (folder / PID_FILE).write_text(json.dumps({"pid": child.pid, "host": socket.gethostname()}), encoding="utf-8")
    except OSError:  # nobody would have it: the run is over, and it would keep the device
        kill(child)
        raise
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


def end_old_children(folder: Path, grace: float = OLD_CHILD_GRACE_SECONDS) -> None:
    """A child whose supervisor was killed, or has lost its run, may be finishing a long step and saving its checkpoint:
    it must be gone before another works in its folder, and its device was given away with its run."""
    old = list({*_children_of(folder), *_left_behind(folder.parent)})
    for process in old:
        with suppress(psutil.NoSuchProcess):
            process.terminate()
    deaf = _outlasting(old, grace)
    for process in deaf:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    _outlasting(deaf)


def _outlasting(processes: Sequence[psutil.Process], seconds: float = math.inf) -> Sequence[psutil.Process]:
    """Those that are not over after so many seconds. A zombie is: nobody may be there to bury it."""
    deadline = time.monotonic() + seconds
    while (left := [process for process in processes if not _is_over(process)]) and time.monotonic() < deadline:
        time.sleep(0.05)
    return left


def _is_over(process: psutil.Process) -> bool:
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def _left_behind(place: Path) -> list[psutil.Process]:
    """What works in the folders of other runs and was started by a supervisor that has not got the run any more. What
    was started by hand is nobody's."""
    found = [(process, *told) for process in psutil.process_iter() if (told := _started_for(process, place))]
    known = Run.objects.only("state", "worker").in_bulk([number for _process, number, _worker in found])
    return [
        process
        for process, number, worker in found
        if number in known and not (known[number].is_active and known[number].worker == worker)
    ]


def _started_for(process: psutil.Process, place: Path) -> tuple[int, str] | None:
    """The run whose folder stands in its command, and the worker that has started it for that."""
    try:
        words = [Path(word) for word in process.cmdline()]
        numbers = [word.name for word in words if word.parent in (place, place.resolve()) and word.name.isdecimal()]
        supervisor = process.environ().get(SUPERVISOR_VARIABLE) if numbers else None
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return None
    return (int(numbers[0]), f"{socket.gethostname()}:{supervisor}") if supervisor else None


def _children_of(folder: Path) -> list[psutil.Process]:
    """The process of child.pid if it is still ours, as a process id is soon given to somebody else; and, of several
    that worked together, those that have outlived their launcher."""
    try:
        note = json.loads((folder / PID_FILE).read_text(encoding="utf-8"))
        noted = int(note["pid"]) if note["host"] == socket.gethostname() else 0
    except (OSError, ValueError, KeyError):
        return []
    return [process for process in psutil.process_iter() if _works_on(folder, process, noted)]


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
    """A slot called gpu0, gpu0+1 … sees those GPUs only, one called cpu … sees none. Models are read without the
    worker's hub token, or every manager could register what only the worker may see; a push names the token itself."""
    more = {SUPERVISOR_VARIABLE: str(os.getpid()), "PYTHONUNBUFFERED": "1", "TOKENIZERS_PARALLELISM": "false"}
    visible = devices_of(device).visible
    if visible is not None:
        more["CUDA_VISIBLE_DEVICES"] = visible
        # Or CUDA would call the fastest one 0, and not the one that nvidia-smi calls so.
        more["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"
    if not settings.HUB_READ:
        more["HF_HUB_DISABLE_IMPLICIT_TOKEN"] = "1"
    return {**{name: value for name, value in os.environ.items() if name not in OF_SMALL_PROCESSES}, **more}
