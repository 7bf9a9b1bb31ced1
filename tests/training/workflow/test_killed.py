"""What becomes of a run when its process, its supervisor or both are stopped, killed or lost."""

import json
import subprocess
import sys
from datetime import timedelta

import psutil
import pytest
from django.conf import settings
from django.utils import timezone

from annotate.models import Project, Snapshot
from tests.training.background import child_of, in_background, lines_of, pid_of, steps_of, trained_a_bit, until
from tests.training.database import environment
from training.models import Artifact, Run, RunState
from training.workflow import children, runner, runs, starting
from training.workflow.folders import folder_of, log_of

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

# So many steps that there is time to disturb it, with a checkpoint after each second.
LONG = {"epochs": 12, "batch_size": 2, "checkpoint_every": 2, "max_length": 256}


@pytest.mark.usefixtures("forked")
def test_kill_9_of_the_process_is_told_and_resume_ends_with_an_artifact(
    project: Project, policy: Artifact, snapshot: Snapshot
) -> None:
    run = starting.start_training(project, "reward", snapshot, policy, LONG)
    thread = in_background(run)
    until(trained_a_bit(run))
    child_of(run).kill()
    thread.join(30)
    run.refresh_from_db()
    assert run.state == RunState.FAILED
    assert "signal 9" in run.reason
    assert not Artifact.objects.filter(run=run).exists()
    before = lines_of(run)
    assert runner.execute(runs.resume(run).pk) == RunState.SUCCEEDED, Run.objects.get(pk=run.pk).reason
    assert Artifact.objects.filter(run=run).count() == 1
    assert steps_of(run) == sorted(set(steps_of(run)))
    assert "start 2" in log_of(run).read_text()
    assert lines_of(run)[0] == before[0], "it did not begin anew"


@pytest.mark.usefixtures("forked")
def test_cancel_saves_a_checkpoint_and_resume_goes_on_from_it(
    project: Project, policy: Artifact, snapshot: Snapshot
) -> None:
    run = starting.start_training(project, "dpo", snapshot, policy, LONG)
    thread = in_background(run)
    until(trained_a_bit(run))
    runs.request_cancel(run)
    thread.join(60)
    run.refresh_from_db()
    assert run.state == RunState.CANCELLED
    position = json.loads((folder_of(run) / "checkpoint" / "position.json").read_text())
    assert position["step"] == steps_of(run)[-1]
    before = lines_of(run)
    assert runner.execute(runs.resume(run).pk) == RunState.SUCCEEDED, Run.objects.get(pk=run.pk).reason
    assert lines_of(run)[: len(before)] == before
    assert steps_of(run) == list(range(1, steps_of(run)[-1] + 1))


@pytest.mark.usefixtures("forked")
def test_a_worker_that_is_stopped_gives_its_run_back(project: Project, policy: Artifact, snapshot: Snapshot) -> None:
    run = starting.start_training(project, "reward", snapshot, policy, LONG)
    thread = in_background(run)
    until(trained_a_bit(run))
    runner.stopping.set()
    thread.join(60)
    run.refresh_from_db()
    assert (run.state, run.slot) == (RunState.QUEUED, None)
    assert (folder_of(run) / "checkpoint").exists()
    assert runner.execute(run.pk) == "", "a stopping worker takes nothing"


@pytest.mark.slow
@pytest.mark.long
def test_a_slot_of_several_devices_gives_a_run_as_many_processes(
    project: Project, policy: Artifact, snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "DEVICE_SLOTS", ["cpu*2"])
    run = starting.start_training(project, "reward", snapshot, policy, LONG)
    thread = in_background(run)
    until(trained_a_bit(run))
    workers = child_of(run).children()
    assert len(workers) == 2
    runs.request_cancel(run)
    thread.join(60)
    run.refresh_from_db()
    assert run.state == RunState.CANCELLED
    assert not any(worker.is_running() and worker.status() != psutil.STATUS_ZOMBIE for worker in workers)
    assert runner.execute(runs.resume(run).pk) == RunState.SUCCEEDED, Run.objects.get(pk=run.pk).reason
    assert Artifact.objects.get(run=run).manifest["processes"] == 2
    assert steps_of(run) == list(range(1, steps_of(run)[-1] + 1))


@pytest.mark.not_db
@pytest.mark.slow
def test_a_killed_run_leaves_none_of_its_processes(
    project: Project, policy: Artifact, snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The processes of a launcher have sessions of their own: a kill of its group does not reach them."""
    monkeypatch.setattr(settings, "DEVICE_SLOTS", ["cpu*2"])
    monkeypatch.setattr(children, "GRACE_SECONDS", 0.0)
    run = starting.start_training(project, "reward", snapshot, policy, LONG)
    thread = in_background(run)
    until(trained_a_bit(run))
    workers = child_of(run).children()
    runs.request_cancel(run)
    thread.join(60)
    assert Run.objects.get(pk=run.pk).state == RunState.CANCELLED
    assert not any(worker.is_running() and worker.status() != psutil.STATUS_ZOMBIE for worker in workers)


SUPERVISOR = """
import sys, django
django.setup()
from training.workflow import runner
runner.execute(int(sys.argv[1]))
"""


def test_kill_9_of_the_worker_leaves_no_second_process_and_the_run_goes_on(
    project: Project, policy: Artifact, snapshot: Snapshot
) -> None:
    run = starting.start_training(project, "reward", snapshot, policy, LONG)
    worker = subprocess.Popen([sys.executable, "-c", SUPERVISOR, str(run.pk)], cwd=settings.BASE_DIR, env=environment())
    until(trained_a_bit(run))
    child = child_of(run)
    worker.kill()
    worker.wait()
    later = timezone.now() + timedelta(seconds=settings.HEARTBEAT_TIMEOUT + 1)
    assert [taken.pk for taken in runs.reconcile(later)] == [run.pk]
    run.refresh_from_db()
    thread = in_background(run)
    until(lambda: pid_of(run) != child.pid)
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE
    runs.request_cancel(run)
    thread.join(60)
    run.refresh_from_db()
    assert run.state == RunState.CANCELLED
    assert run.attempt == 2
    assert steps_of(run) == list(range(1, steps_of(run)[-1] + 1))


@pytest.mark.not_db
def test_an_orphan_ends_by_itself(project: Project, policy: Artifact, snapshot: Snapshot) -> None:
    run = starting.start_training(project, "reward", snapshot, policy, LONG)
    command = [sys.executable, "-c", SUPERVISOR, str(run.pk)]
    worker = subprocess.Popen(command, cwd=settings.BASE_DIR, env=environment())
    until(trained_a_bit(run))
    child = child_of(run)
    worker.kill()
    worker.wait()
    until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE, 30)


@pytest.mark.usefixtures("forked")
def test_a_supervisor_that_lost_its_run_ends_its_process(
    project: Project, policy: Artifact, snapshot: Snapshot
) -> None:
    run = starting.start_training(project, "reward", snapshot, policy, LONG)
    thread = in_background(run)
    until(trained_a_bit(run))
    child = child_of(run)
    runs.reconcile(timezone.now() + timedelta(seconds=settings.HEARTBEAT_TIMEOUT + 10))
    thread.join(60)
    assert not child.is_running()
    run.refresh_from_db()
    assert run.state == RunState.QUEUED
