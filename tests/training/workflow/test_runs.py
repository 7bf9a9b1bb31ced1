"""The states of a run, and that two can never have it."""

import socket
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.conf import settings
from django.db import connection
from django.utils import timezone

from annotate.models import Project, User
from tests.training.database import environment
from training.models import Run, RunState
from training.workflow import runs, workers
from training.workflow.exceptions import BadConfig, NotCancellable, RunNotResumable


@pytest.fixture
def run(project: Project) -> Run:
    return runs.create_run(project, "sample", {}, "samples")


def _states(run: Run) -> list[str]:
    return list(run.events.values_list("state", flat=True))


def _claimed(run: Run, slot: str = "here:gpu0") -> Run:
    assert runs.claim(run, slot, "somewhere:1")
    return run


def test_a_new_run_has_all_settings_of_its_recipe(run: Run) -> None:
    assert run.config["temperature"] == 0.7
    assert run.state == RunState.QUEUED


def test_an_unknown_setting_is_named(project: Project) -> None:
    with pytest.raises(BadConfig, match=r"sample\.temprature") as refused:
        runs.create_run(project, "sample", {"temprature": 1}, "samples")
    assert refused.value.field == "temprature"
    assert not Run.objects.exists()


def test_every_change_leaves_an_event(run: Run, lead: User) -> None:
    _claimed(run)
    runs.request_cancel(run, lead)
    runs.finish(run, RunState.CANCELLED)
    runs.resume(run, lead)
    assert _states(run) == ["queued", "running", "cancelling", "cancelled", "queued"]
    assert run.events.get(state="cancelling").actor == lead


def test_a_second_claim_of_the_same_run_fails(run: Run) -> None:
    _claimed(run)
    assert not runs.claim(Run.objects.get(), "here:gpu1", "somewhere:2")
    assert Run.objects.get().worker == "somewhere:1"


def test_a_busy_device_takes_no_second_run(run: Run, project: Project) -> None:
    _claimed(run)
    other = runs.create_run(project, "sample", {}, "more")
    assert not runs.claim(other, "here:gpu0", "somewhere:2")
    assert _states(other) == ["queued"]
    runs.finish(run, RunState.FAILED, reason="x")
    assert runs.claim(other, "here:gpu0", "somewhere:2")


def test_cancelling_a_queued_run_ends_it_at_once(run: Run) -> None:
    assert runs.request_cancel(run) == RunState.CANCELLED
    assert not runs.claim(run, "here:gpu0", "somewhere:1")


def test_cancelling_twice_is_cancelling_once(run: Run) -> None:
    _claimed(run)
    assert runs.request_cancel(run) == runs.request_cancel(run) == RunState.CANCELLING
    assert _states(run) == ["queued", "running", "cancelling"]


def test_what_is_over_cannot_be_cancelled(run: Run) -> None:
    runs.finish(_claimed(run), RunState.SUCCEEDED)
    with pytest.raises(NotCancellable):
        runs.request_cancel(run)


@pytest.mark.parametrize("state", [RunState.SUCCEEDED, RunState.QUEUED])
def test_only_a_failed_or_cancelled_run_is_resumed(run: Run, state: RunState) -> None:
    if state == RunState.SUCCEEDED:
        runs.finish(_claimed(run), state)
    with pytest.raises(RunNotResumable):
        runs.resume(run)


def test_a_supervisor_that_lost_its_run_cannot_beat_nor_end_it(run: Run) -> None:
    lost = _claimed(run)
    Run.objects.update(heartbeat_at=timezone.now() - timedelta(seconds=settings.HEARTBEAT_TIMEOUT + 1))
    assert [taken.pk for taken in runs.reconcile()] == [run.pk]
    new = Run.objects.get()
    assert runs.claim(new, "here:gpu0", "elsewhere:7")
    assert runs.beat(lost) is None
    assert not runs.finish(lost, RunState.FAILED, reason="late")
    assert runs.release(lost, "late") is None
    assert Run.objects.get().state == RunState.RUNNING
    assert Run.objects.get().attempt == 2


def test_a_lost_worker_gives_its_run_back(run: Run) -> None:
    _claimed(run)
    assert runs.reconcile() == []
    later = timezone.now() + timedelta(seconds=settings.HEARTBEAT_TIMEOUT + 1)
    assert [taken.pk for taken in runs.reconcile(later)] == [run.pk]
    run.refresh_from_db()
    assert (run.state, run.slot) == (RunState.QUEUED, None)
    assert f"heard of its worker somewhere:1 for {settings.HEARTBEAT_TIMEOUT} seconds" in run.events.last().detail


def test_a_dead_process_of_this_host_is_noticed_sooner(run: Run) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    runs.claim(run, "here:gpu0", f"{socket.gethostname()}:{gone.pid}")
    soon = timezone.now() + runs.MISSED_BEATS + timedelta(seconds=1)
    assert len(runs.reconcile(soon)) == 1
    assert f":{gone.pid} is gone" in run.events.last().detail


def test_a_living_process_of_this_host_is_given_the_whole_timeout(run: Run) -> None:
    runs.claim(run, "here:gpu0", workers.worker_name())
    assert runs.reconcile(timezone.now() + runs.MISSED_BEATS + timedelta(seconds=1)) == []


def test_a_run_that_was_to_stop_is_not_queued_again_when_its_worker_is_lost(run: Run) -> None:
    _claimed(run)
    runs.request_cancel(run)
    runs.reconcile(timezone.now() + timedelta(seconds=settings.HEARTBEAT_TIMEOUT + 1))
    assert Run.objects.get().state == RunState.CANCELLED


def test_a_stopping_worker_gives_its_run_back_unless_it_was_cancelled(run: Run, project: Project) -> None:
    assert runs.release(_claimed(run), "stopped") == RunState.QUEUED
    other = _claimed(runs.create_run(project, "sample", {}, "more"))
    runs.request_cancel(other)
    assert runs.release(other, "stopped") == RunState.CANCELLED


@pytest.mark.django_db(transaction=True)
def test_of_eight_threads_one_gets_the_run(project: Project) -> None:
    for number in range(4):
        run = runs.create_run(project, "sample", {}, f"samples {number}")
        assert sum(_at_once(8, lambda n, run=run: runs.claim(run, f"h:{run.pk}.{n}", f"w:{n}"))) == 1
        assert _states(run) == ["queued", "running"]


@pytest.mark.django_db(transaction=True)
def test_of_eight_runs_one_gets_the_device(project: Project) -> None:
    queued = [runs.create_run(project, "sample", {}, f"samples {number}") for number in range(8)]
    assert sum(_at_once(8, lambda n: runs.claim(queued[n], "here:gpu0", f"w:{n}"))) == 1
    assert Run.objects.active().count() == 1
    assert Run.objects.queued().count() == 7


@pytest.mark.django_db(transaction=True)
def test_of_four_processes_one_gets_each_run(project: Project) -> None:
    keys = [runs.create_run(project, "sample", {}, f"samples {number}").pk for number in range(20)]
    processes = [_claiming_process(number, keys) for number in range(4)]
    taken = [key for process in processes for key in process.communicate(timeout=60)[0].split()]
    assert [process.returncode for process in processes] == [0] * 4
    assert sorted(map(int, taken)) == keys


def _at_once(threads: int, work: Callable[[int], bool]) -> list[bool]:
    def closed(number: int) -> bool:
        try:
            return work(number)
        finally:
            connection.close()

    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(closed, range(threads)))


CLAIMS = """
import sys, django
django.setup()
from training.models import Run
from training.workflow import runs
number, *keys = sys.argv[1:]
for key in keys:
    if runs.claim(Run.objects.get(pk=key), f"host{number}:{key}", f"host{number}:1"):
        print(key)
"""


def _claiming_process(number: int, keys: list[int]) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", CLAIMS, str(number), *map(str, keys)]
    return subprocess.Popen(command, cwd=settings.BASE_DIR, env=environment(), stdout=subprocess.PIPE, text=True)


def test_the_time_taken_is_that_of_the_workers(run: Run) -> None:
    """Not what lay between them: an hour by a first one, ten minutes by one that is lost, and what the third has."""
    assert run.time_taken is None
    _claimed(run)
    _hold_since(run, timedelta(hours=1))
    assert run.time_taken == pytest.approx(timedelta(hours=1), abs=timedelta(seconds=5))
    assert runs.finish(run, RunState.FAILED, reason="x")
    Run.objects.filter(pk=run.pk).update(started_at=timezone.now() - timedelta(days=1))
    runs.resume(run)
    assert run.time_taken == pytest.approx(timedelta(hours=1), abs=timedelta(seconds=5)), "it waits"
    _claimed(run)
    _hold_since(run, timedelta(minutes=30))
    Run.objects.filter(pk=run.pk).update(heartbeat_at=timezone.now() - timedelta(minutes=20))
    assert runs.reconcile() == [run]
    run.refresh_from_db()
    assert run.time_taken == pytest.approx(timedelta(hours=1, minutes=10), abs=timedelta(seconds=5))
    _claimed(run)
    _hold_since(run, timedelta(minutes=2))
    assert run.time_taken == pytest.approx(timedelta(hours=1, minutes=12), abs=timedelta(seconds=5))


def _hold_since(run: Run, ago: timedelta) -> None:
    Run.objects.filter(pk=run.pk).update(taken_at=timezone.now() - ago)
    run.refresh_from_db()
