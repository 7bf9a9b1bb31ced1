"""The training process: started in a session of its own, stopped kindly and then not, and never two in one folder."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
from django.conf import settings

# Long enough for a slow step and a checkpoint; then the process is killed and goes on from the checkpoint before.
GRACE_SECONDS = 60.0
# Shorter: while it waits for a predecessor's child, a supervisor does not beat.
OLD_CHILD_GRACE_SECONDS = 20.0
PID_FILE = "child.pid"
# The child watches this process and stops when it is gone (training/ml/parent.py).
SUPERVISOR_VARIABLE = "PLUMBLINE_SUPERVISOR_PID"


def start(folder: Path, device: str, attempt: int) -> subprocess.Popen[bytes]:
    """`python -m training.ml.run FOLDER`; its output goes to run.log. An older child of the folder is ended first."""
    end_old_child(folder)
    with (folder / "run.log").open("ab") as log:
        log.write(f"--- start {attempt}, {time.strftime('%Y-%m-%d %H:%M:%S %z')}\n".encode())
        log.flush()
        child = subprocess.Popen(
            [sys.executable, "-m", "training.ml.run", str(folder)],
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
    """SIGKILL to the child and whatever it started."""
    if child.poll() is None:
        os.killpg(child.pid, signal.SIGKILL)
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
    """The process of child.pid if it is still ours: a process id is soon given to somebody else."""
    try:
        note = json.loads((folder / PID_FILE).read_text(encoding="utf-8"))
        if note["host"] != socket.gethostname():
            return []
        process = psutil.Process(int(note["pid"]))
        ours = str(folder) in process.cmdline() and process.status() != psutil.STATUS_ZOMBIE
    except (OSError, ValueError, KeyError, psutil.NoSuchProcess, psutil.AccessDenied):
        return []
    return [process] if ours else []


def _environment(device: str) -> dict[str, str]:
    """A slot called gpu0, gpu1 … sees that GPU only."""
    more = {SUPERVISOR_VARIABLE: str(os.getpid()), "PYTHONUNBUFFERED": "1", "TOKENIZERS_PARALLELISM": "false"}
    if gpu := re.fullmatch(r"gpu(\d+)", device):
        more["CUDA_VISIBLE_DEVICES"] = gpu[1]
    return {**os.environ, **more}
