"""A real Celery worker with beat: it finds queued runs, stops cleanly, and after kill -9 the run goes on."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import psutil
import pytest
from django.conf import settings
from django.utils import timezone
from kombu import Connection

from annotate.models import Project, Snapshot
from tests.training.database import environment
from training import tasks
from training.models import Artifact, Run, RunState
from training.workflow import runs, starting, workers
from training.workflow.folders import folder_of, progress_of

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

LONG = {"epochs": 16, "batch_size": 2, "checkpoint_every": 2, "max_length": 256}
Start = Callable[[], "subprocess.Popen[bytes]"]


@pytest.fixture
def start_worker(tmp_path: Path) -> Iterator[Start]:
    """Starts workers like those of `manage.py up`, on a broker of folders: no server is needed."""
    queue = {"PLUMBLINE_HOME": str(tmp_path), "CELERY_BROKER_URL": "filesystem://", "PLUMBLINE_HEARTBEAT_TIMEOUT": "12"}
    command = [sys.executable, "-m", "celery", "-A", "workbench", "worker", "-P", "threads", "-B"]
    command += ["-Q", "default,gpu", "-s", str(tmp_path / "beat")]
    started: list[subprocess.Popen[bytes]] = []

    def start() -> "subprocess.Popen[bytes]":
        with (tmp_path / f"worker{len(started)}.log").open("wb") as log:
            worker = subprocess.Popen(
                command, cwd=settings.BASE_DIR, env={**environment(), **queue}, stdout=log, stderr=log
            )
        started.append(worker)
        return worker

    yield start
    for worker in started:
        for process in psutil.Process(worker.pid).children(recursive=True) if worker.poll() is None else []:
            process.kill()
        worker.kill()
        worker.wait()
    for log in sorted(tmp_path.glob("worker*.log")):  # pytest shows it where the test fails
        print(log.name, log.read_text(errors="replace"), sep="\n")
    for process in psutil.process_iter(["cmdline"]):  # the beat of one that was killed has no parent any more
        if str(tmp_path / "beat") in (process.info["cmdline"] or []):
            process.kill()


def _until(true: Callable[[], object], seconds: float = 200) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.1)


def _trains(run: Run) -> bool:
    return (folder_of(run) / "checkpoint" / "position.json").exists() and _state(run) == RunState.RUNNING


def _steps(run: Run) -> list[str]:
    return [line for line in progress_of(run).read_text().splitlines() if '"training"' in line and '"step"' in line]


def _state(run: Run) -> str:
    return Run.objects.values_list("state", flat=True).get(pk=run.pk)


def test_a_run_outlives_a_worker_that_is_stopped_and_one_that_is_killed_and_is_never_twice(
    project: Project, policy: Artifact, snapshot: Snapshot, start_worker: Start
) -> None:
    run = starting.start_training(project, "reward", snapshot, policy, LONG)
    second = starting.start_training(project, "reward", snapshot, policy, {**LONG, "epochs": 1}, name="second")
    worker = start_worker()
    _until(lambda: _trains(run))
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(60) == 0
    assert _state(run) == RunState.QUEUED
    assert not _processes_in(folder_of(run))
    before = len(_steps(run))
    worker = start_worker()
    _until(lambda: len(_steps(run)) > before and _trains(run))
    worker.kill()
    worker.wait()
    start_worker()
    _until(lambda: _state(run) == _state(second) == RunState.SUCCEEDED)
    run.refresh_from_db()
    assert run.attempt == 3
    assert Artifact.objects.filter(run=run).exists()
    assert len(_steps(run)) == len(set(_steps(run)))
    states = list(run.events.values_list("state", flat=True))
    assert states == ["queued", "running", "queued", "running", "queued", "running", "succeeded"]


def test_a_broker_that_is_away_delays_a_run_and_breaks_nothing(
    project: Project,
    policy: Artifact,
    snapshot: Snapshot,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tasks.current_app, "connection_for_write", lambda: Connection("redis://127.0.0.1:1/0"))
    run = starting.start_training(project, "reward", snapshot, policy, LONG)
    workers.show()
    began = time.monotonic()
    tasks.dispatch_queued()
    assert time.monotonic() - began < 2
    assert "1 run(s) stay queued, the broker is away" in caplog.text
    assert _state(run) == RunState.QUEUED


def test_reconciling_twice_changes_nothing(project: Project, policy: Artifact, snapshot: Snapshot) -> None:
    run = starting.start_training(project, "reward", snapshot, policy, LONG)
    runs.claim(run, "here:gpu0", "elsewhere:1")
    Run.objects.update(heartbeat_at=timezone.now() - timedelta(days=1))
    assert [tasks.reconcile_runs(), tasks.reconcile_runs()] == [1, 0]
    assert run.events.count() == 3


def _processes_in(folder: Path) -> list[int]:
    found = []
    for process in psutil.process_iter():
        try:
            if str(folder) in process.cmdline() and process.pid != os.getpid():
                found.append(process.pid)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found
