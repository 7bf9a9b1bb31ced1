"""Which training processes are ended before another one starts on their host, and which are left alone."""

import errno
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from django.conf import LazySettings

from annotate.models import Project
from training.models import Run, RunState
from training.workflow import children, runs
from training.workflow.folders import folder_of

pytestmark = pytest.mark.django_db

HOST = socket.gethostname()
SUPERVISOR = 4242
Begin = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def begin(settings: LazySettings, tmp_path: Path) -> Iterator[Begin]:
    """Starts what stands in for the training process of a run."""
    settings.RUNS_DIR = tmp_path / "runs"
    started: list[subprocess.Popen[bytes]] = []

    def start(folder: Path, supervisor: int | None = SUPERVISOR) -> subprocess.Popen[bytes]:
        told = {} if supervisor is None else {children.SUPERVISOR_VARIABLE: str(supervisor)}
        command = [sys.executable, "-c", "print(flush=True); import time; time.sleep(60)", str(folder)]
        process = subprocess.Popen(command, env={**os.environ, **told}, stdout=subprocess.PIPE)
        process.stdout.readline()
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


def a_run(project: Project, worker: str = "") -> Run:
    run = runs.create_run(project, "sample", {}, "a run")
    if worker:
        assert runs.claim(run, f"{HOST}:{run.pk}", worker)
    return run


def start_another(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a worker of this host does that has taken another run."""
    monkeypatch.setattr(children, "_command", lambda folder, processes: [sys.executable, "-c", ""])
    folder = folder_of(a_run(project, f"{HOST}:{os.getpid()}"))
    folder.mkdir(parents=True)
    children.start(folder, "local", 1).wait()


def test_the_process_of_a_run_that_was_taken_back_or_is_over_is_ended_before_another_run_starts(
    project: Project, monkeypatch: pytest.MonkeyPatch, begin: Begin
) -> None:
    """Its device is free again, and it may still be finishing a long step there."""
    taken_back, over = a_run(project), a_run(project, f"{HOST}:{SUPERVISOR}")
    assert runs.finish(over, RunState.FAILED, reason="x")
    elsewhere = a_run(project, f"another-host:{SUPERVISOR}")
    beside = a_run(project, f"{HOST}:{SUPERVISOR + 1}")
    old = [begin(folder_of(run)) for run in (taken_back, over, elsewhere, beside)]
    start_another(project, monkeypatch)
    assert [process.poll() is not None for process in old] == [True] * 4


def test_the_process_of_a_run_under_way_one_by_hand_and_a_strangers_are_left_alone(
    project: Project, monkeypatch: pytest.MonkeyPatch, begin: Begin, tmp_path: Path
) -> None:
    under_way, by_hand = a_run(project, f"{HOST}:{SUPERVISOR}"), a_run(project)
    left = [
        begin(folder_of(under_way)),
        begin(folder_of(by_hand), supervisor=None),
        begin(tmp_path / "elsewhere" / str(by_hand.pk)),
        begin(folder_of(Run(pk=10**6))),
        begin(folder_of(by_hand) / "run.log"),
    ]
    start_another(project, monkeypatch)
    assert [process.poll() for process in left] == [None] * 5


CARELESS = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", sys.argv[1]])
print(child.pid, flush=True)
time.sleep(60)
"""


def test_a_dead_process_that_nobody_buries_is_not_waited_for(tmp_path: Path) -> None:
    """In a container the first process may be none that does so."""
    command = [sys.executable, "-c", CARELESS, str(tmp_path)]
    careless = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    number = int(careless.stdout.readline())
    (tmp_path / children.PID_FILE).write_text(json.dumps({"pid": number, "host": HOST}))
    began = time.monotonic()
    children.end_old_children(tmp_path, grace=5)
    assert time.monotonic() - began < 4
    assert psutil.Process(number).status() == psutil.STATUS_ZOMBIE
    careless.kill()
    careless.wait()
    careless.stdout.close()


@pytest.mark.parametrize("deaf", [False, True])
def test_an_old_process_of_the_folder_is_ended_before_a_new_one_starts(tmp_path: Path, deaf: bool) -> None:
    ear = "signal.signal(signal.SIGTERM, signal.SIG_IGN);" if deaf else ""
    code = f"import signal, time; {ear} print('up', flush=True); time.sleep(60)"
    old = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE)
    old.stdout.readline()
    (tmp_path / children.PID_FILE).write_text(json.dumps({"pid": old.pid, "host": HOST}))
    children.end_old_children(tmp_path, grace=1)
    assert old.poll() is not None


def test_a_process_that_cannot_be_noted_on_a_full_disk_is_not_left_to_itself(
    project: Project, monkeypatch: pytest.MonkeyPatch, begin: Begin
) -> None:
    """Its run fails, and would be resumed beside it in the same folder."""
    started: list[subprocess.Popen[bytes]] = []

    def noticed(*given: Any, **more: Any) -> subprocess.Popen[bytes]:
        started.append(popen(*given, **more))
        return started[-1]

    def full(path: Path, *given: Any, **more: Any) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    popen = subprocess.Popen
    monkeypatch.setattr(children.subprocess, "Popen", noticed)
    monkeypatch.setattr(Path, "write_text", full)
    monkeypatch.setattr(children, "_command", lambda *_: [sys.executable, "-c", "import time; time.sleep(60)"])
    folder = folder_of(a_run(project))
    folder.mkdir(parents=True)
    with pytest.raises(OSError, match="No space left"):
        children.start(folder, "local", 1)
    assert started[0].poll() == -signal.SIGKILL


def test_a_process_id_that_belongs_to_somebody_else_is_left_alone(tmp_path: Path) -> None:
    bystander = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    note = {"pid": bystander.pid, "host": HOST}
    (tmp_path / children.PID_FILE).write_text(json.dumps(note))
    children.end_old_children(tmp_path)
    assert bystander.poll() is None
    bystander.send_signal(signal.SIGKILL)
    bystander.wait()
