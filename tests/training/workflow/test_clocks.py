"""Hosts whose clocks go wrong by minutes: who lives is told by the database's clock alone."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest
from django.db.models import F
from django.utils import timezone

from annotate.models import Project
from training.models import Run, RunState, Worker
from training.workflow import runs, workers

pytestmark = pytest.mark.django_db
WRONG = [timedelta(minutes=-10), timedelta(minutes=10)]


@pytest.fixture
def run(project: Project) -> Run:
    return runs.create_run(project, "sample", {}, "samples")


@contextmanager
def clock(wrong: timedelta) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        now = timezone.now
        patch.setattr(timezone, "now", lambda: now() + wrong)
        yield


@pytest.mark.parametrize("wrong", WRONG)
def test_a_run_stays_with_its_worker_whatever_its_hosts_clock_shows(run: Run, wrong: timedelta) -> None:
    with clock(wrong):
        assert runs.claim(run, "far:gpu0", "far:1")
    assert runs.reconcile() == []
    with clock(wrong):
        assert runs.beat(run) == RunState.RUNNING
    assert runs.reconcile() == []
    with clock(-wrong):
        assert runs.reconcile() == []
    assert abs(Run.objects.get().heartbeat_at - timezone.now()) < timedelta(seconds=30)


@pytest.mark.parametrize("wrong", WRONG)
def test_the_time_of_a_worker_is_counted_by_one_clock(run: Run, wrong: timedelta) -> None:
    with clock(wrong):
        assert runs.claim(run, "far:gpu0", "far:1")
    assert runs.finish(run, RunState.CANCELLED)
    assert timedelta() <= run.worked < timedelta(seconds=30)


@pytest.mark.parametrize("wrong", WRONG)
def test_a_page_tells_the_time_of_a_run_at_work_whatever_its_hosts_clock_shows(run: Run, wrong: timedelta) -> None:
    assert runs.claim(run, "far:gpu0", "far:1")
    ago = timedelta(minutes=3)
    Run.objects.update(taken_at=F("taken_at") - ago)
    assert runs.beat(run)
    run.refresh_from_db()
    with clock(wrong):
        assert ago <= run.time_taken < ago + timedelta(seconds=30)


@pytest.mark.parametrize("wrong", WRONG)
def test_a_worker_lives_whatever_its_hosts_clock_shows(wrong: timedelta) -> None:
    with clock(wrong):
        workers.show()
        workers.show()
    assert Worker.objects.alive().count() == 1
    with clock(-wrong):
        assert Worker.objects.alive().count() == 1


def test_a_heart_that_beats_again_keeps_its_run_and_one_that_does_not_loses_it(run: Run) -> None:
    """SQLite keeps times as text, Django's with microseconds and its own with milliseconds: none may be missed."""
    for fraction in (0, 1, 123_000, 123_456):
        run.refresh_from_db()
        assert runs.claim(run, "far:gpu0", "far:1")
        silent = (timezone.now() - timedelta(hours=1)).replace(microsecond=fraction)
        Run.objects.filter(pk=run.pk).update(heartbeat_at=silent)
        assert runs.beat(run)
        assert runs.reconcile() == []
        Run.objects.filter(pk=run.pk).update(heartbeat_at=silent)
        assert runs.reconcile() == [run]
