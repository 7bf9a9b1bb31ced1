"""Messages to the workers: as many as free devices can use, and none that a broker would have to keep."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.test import Client
from django.utils import timezone
from kombu import Connection

from annotate.models import Project, User
from tests.training.workflow.products import end
from training import tasks
from training.models import DeviceWish, Priority, Run, RunState, Worker
from training.workflow import presence, runs
from workbench.celery import app

pytestmark = pytest.mark.django_db
Sent = Callable[[], list[dict]]


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch, django_capture_on_commit_callbacks) -> Iterator[Sent]:
    """Does what the timetable does every ten seconds; what then lies in the queue, as of a broker without workers."""
    with Connection("memory://") as broker:
        monkeypatch.setattr(app, "connection_for_write", lambda: broker.clone())
        queue = broker.SimpleQueue(tasks.QUEUE)
        queue.clear()

        def tick() -> list[dict]:
            with django_capture_on_commit_callbacks(execute=True):
                tasks.dispatch_queued()
            return [queue.get_nowait().headers for _ in range(queue.qsize())]

        yield tick
        queue.close()


def worker(name: str, *devices: str, serves: tuple[str, ...] = ("any", "gpu")) -> Worker:
    facts = [{"slot": f"{name}:{device}", "serves": serves} for device in devices]
    return Worker.objects.create(name=f"{name}:1", slots=facts, seen_at=timezone.now())


def queued(project: Project, number: int = 1, device: DeviceWish = DeviceWish.ANY) -> list[Run]:
    return [runs.create_run(project, "sample", {}, f"run {n}", device=device) for n in range(number)]


@pytest.mark.parametrize("door", ["/p/garden/runs/{}/resume/", "/api/v1/projects/garden/runs/{}/resume/"])
def test_workers_hear_of_a_resumed_run_without_waiting_for_the_timetable(
    door: str, project: Project, lead: User, client: Client, django_capture_on_commit_callbacks
) -> None:
    run = end(runs.create_run(project, "sample", {}, "samples"), RunState.FAILED)
    client.force_login(lead)
    with django_capture_on_commit_callbacks() as told:
        assert client.post(door.format(run.pk)).status_code in (200, 302)
    assert Run.objects.get().state == RunState.QUEUED
    assert told == [tasks._send]


@pytest.mark.django_db(transaction=True)
def test_a_run_that_is_stored_is_answered_so_though_the_database_goes_away_just_then(
    project: Project, lead: User, client: Client
) -> None:
    """Whoever is told to try again starts a second one."""
    run = end(runs.create_run(project, "sample", {}, "samples"), RunState.FAILED)
    client.force_login(lead)
    refused = [OperationalError("the connection is closed")]

    def away(execute: Callable, sql: str, *given: Any) -> Any:
        if "training_worker" in sql and refused:
            raise refused.pop()
        return execute(sql, *given)

    with connection.execute_wrapper(away):
        assert client.post(f"/api/v1/projects/garden/runs/{run.pk}/resume/").status_code == 200
    assert Run.objects.get().state == RunState.QUEUED and not refused


def test_while_no_worker_is_there_nothing_is_sent(project: Project, sent: Sent) -> None:
    queued(project, 20)
    assert [len(sent()) for _ in range(5)] == [0] * 5
    silent = worker("h", "gpu0")
    Worker.objects.filter(pk=silent.pk).update(seen_at=timezone.now() - timedelta(hours=1))
    assert sent() == [], "one that has been silent for an hour is none"
    worker("k", "gpu0")
    assert len(sent()) == 1, "the next tick after a worker came tells it"


@pytest.mark.parametrize(("waiting", "devices", "messages"), [(20, 1, 1), (20, 4, 4), (2, 4, 2), (0, 4, 0)])
def test_one_message_is_sent_for_each_device_that_can_begin(
    project: Project, sent: Sent, waiting: int, devices: int, messages: int
) -> None:
    worker("h", *(f"gpu{number}" for number in range(devices)))
    queued(project, waiting)
    assert len(sent()) == messages


def test_a_device_that_is_taken_or_serves_no_run_asks_for_no_message(project: Project, sent: Sent) -> None:
    worker("h", "gpu0")
    worker("k", "cpu0", serves=("any", "cpu"))
    holder, *_ = queued(project, 3, DeviceWish.GPU)
    assert runs.claim(holder, "h:gpu0", "h:1")
    assert sent() == []
    runs.finish(holder, RunState.CANCELLED)
    assert sent()


def test_each_of_several_workers_gets_a_message_because_any_may_be_the_one_that_is_free(
    project: Project, sent: Sent
) -> None:
    """Brokers deal messages out in turn: a single one would mostly reach a worker that has nothing free."""
    for host in "abcd":
        worker(host, "gpu0")
    held = queued(project, 3)
    for run, host in zip(held, "abc", strict=True):
        assert runs.claim(run, f"{host}:gpu0", f"{host}:1")
    queued(project)
    assert len(sent()) == 4


def test_the_message_names_the_run_whose_turn_it_is_and_no_hour_by_a_hosts_own_clock(
    project: Project, sent: Sent
) -> None:
    """`expires` is looked at with the clock of the host that receives: one that is fast would never begin a run."""
    worker("h", "gpu0")
    first, second = queued(project, 2)
    Run.objects.filter(pk=second.pk).update(priority=Priority.HIGH)
    [headers] = sent()
    assert headers["argsrepr"] == f"({second.pk},)"
    assert headers["expires"] is None
    assert first.state == RunState.QUEUED


@pytest.mark.django_db(transaction=True)
def test_a_worker_has_said_that_it_lives_before_it_asks_for_work() -> None:
    thread = presence.begin()
    try:
        assert Worker.objects.alive().count() == 1
    finally:
        presence.end()
        thread.join(20)
