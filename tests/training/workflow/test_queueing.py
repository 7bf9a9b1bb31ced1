"""Whose turn it is: priority before age, a device that serves, and one GPU never taken by two runs."""

import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.conf import LazySettings, settings
from django.db import connection
from django.test.utils import CaptureQueriesContext

from annotate.models import Project, User
from tests.training.database import environment
from training import tasks
from training.models import DeviceWish, Priority, Run, RunState
from training.workflow import children, queueing, runner, runs, workers
from training.workflow.exceptions import BadInput, HasBegun

HOST = socket.gethostname()


@pytest.fixture(autouse=True)
def devices(settings: LazySettings) -> None:
    settings.DEVICE_SLOTS = ["gpu0"]


def queued(project: Project, name: str, priority: Priority = Priority.NORMAL, device: str = "any") -> Run:
    return runs.create_run(project, "sample", {}, name, priority=priority, device=DeviceWish(device))


def taken() -> str:
    run = queueing.take_next("w:1")
    if run is None:
        return ""
    runs.finish(run, RunState.CANCELLED)
    return run.name


def test_the_highest_priority_is_taken_first_and_of_equals_the_oldest(project: Project) -> None:
    queued(project, "low", Priority.LOW)
    queued(project, "first")
    queued(project, "second")
    queued(project, "high", Priority.HIGH)
    assert [taken() for _ in range(5)] == ["high", "first", "second", "low", ""]


def test_a_message_of_one_run_takes_the_run_whose_turn_it_is(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Brokers deliver in order: the message of the older run comes first, and takes the more urgent one."""

    begun: list[str] = []
    monkeypatch.setattr(runner, "supervise", lambda run: begun.append(run.name) or RunState.SUCCEEDED)
    older = queued(project, "older")
    queued(project, "urgent", Priority.HIGH)
    assert tasks.execute_run(older.pk) == RunState.SUCCEEDED
    assert begun == ["urgent"]


def test_a_run_that_wants_a_gpu_waits_for_one_and_lets_others_pass(project: Project, settings: LazySettings) -> None:
    settings.DEVICE_SLOTS = ["cpu0"]
    queued(project, "wants a gpu", Priority.HIGH, "gpu")
    queued(project, "wants none", device="cpu")
    queued(project, "any")
    assert [taken() for _ in range(3)] == ["wants none", "any", ""]
    settings.DEVICE_SLOTS = ["gpu0"]
    assert taken() == "wants a gpu"


@pytest.mark.parametrize(
    ("device", "has_gpu", "wishes"),
    [
        ("gpu1", False, {"any", "gpu"}),
        ("cpu", True, {"any", "cpu"}),
        ("local", False, {"any", "cpu"}),
        ("local", True, {"any", "cpu", "gpu"}),
    ],
)
def test_what_a_slot_serves_follows_from_its_name_and_its_host(
    monkeypatch: pytest.MonkeyPatch, device: str, has_gpu: bool, wishes: set[str]
) -> None:
    monkeypatch.setattr(workers, "has_gpu", lambda: has_gpu)
    assert set(workers.serves(f"host:{device}")) == wishes


def test_a_run_that_wants_the_cpu_sees_no_gpu() -> None:
    assert children._environment("cpu")["CUDA_VISIBLE_DEVICES"] == ""
    assert children._environment("gpu3")["CUDA_VISIBLE_DEVICES"] == "3"


@pytest.mark.parametrize(
    ("slot", "wish", "device"),
    [
        ("local", "any", "local"),
        ("local", "cpu", "cpu"),
        ("cpu*2", "cpu", "cpu*2"),
        ("gpu0+1", "gpu", "gpu0+1"),
        ("", "cpu", "cpu"),
    ],
)
def test_a_wish_for_the_cpu_hides_the_gpus_and_keeps_the_processes(slot: str, wish: str, device: str) -> None:
    assert workers.device_for(Run(slot=f"host:{slot}" if slot else None, device=wish)) == device


def test_a_slot_of_several_devices_serves_as_one_of_them_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "has_gpu", lambda: True)
    assert set(workers.serves("host:gpu0+1")) == {"any", "gpu"}
    assert set(workers.serves("host:cpu*2")) == {"any", "cpu"}


def test_a_busy_device_is_passed_over_for_a_free_one(project: Project, settings: LazySettings) -> None:
    settings.DEVICE_SLOTS = ["gpu0", "gpu1"]
    for name in ("a", "b", "c"):
        queued(project, name)
    assert [queueing.take_next("w:1").slot for _ in range(2)] == [f"{HOST}:gpu0", f"{HOST}:gpu1"]
    assert queueing.take_next("w:1") is None
    assert list(Run.objects.get(name="c").events.values_list("state", flat=True)) == ["queued"]


@pytest.mark.parametrize(
    ("held", "wish", "slots", "taken"),
    [
        ("gpu0", "any", ["gpu0+1"], False),
        ("gpu0+1", "any", ["gpu1"], False),
        ("gpu0", "any", ["gpu00"], False),
        ("gpu0", "any", ["gpu1"], True),
        ("gpu0", "any", ["cpu"], True),
        ("gpu0", "any", ["local"], False),
        ("gpu0", "cpu", ["local"], True),
        ("local", "any", ["gpu3"], False),
        ("local", "any", ["gpuA"], False),
        ("cpu*2", "any", ["local"], True),
    ],
)
def test_a_gpu_is_not_taken_again_under_another_name(
    project: Project,
    settings: LazySettings,
    monkeypatch: pytest.MonkeyPatch,
    held: str,
    wish: str,
    slots: list[str],
    taken: bool,
) -> None:
    """As by a command in a shell without the worker's PLUMBLINE_DEVICE_SLOTS."""
    monkeypatch.setattr(workers, "has_gpu", lambda: True)
    settings.DEVICE_SLOTS = [held]
    assert queueing.take(queued(project, "first"), "w:1")
    settings.DEVICE_SLOTS = slots
    second = queued(project, "second", device=wish)
    assert (queueing.take_next("w:2") == second) == taken
    if not taken:
        assert not queueing.take(second, "w:3")
        runs.finish(Run.objects.get(name="first"), RunState.SUCCEEDED)
        assert queueing.take(second, "w:3")


def test_runs_that_a_device_cannot_take_now_cost_no_question_each(
    project: Project, settings: LazySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ "local" gives the CPU while gpu0 is taken; before the one run that wants it stand many that do not."""
    monkeypatch.setattr(workers, "has_gpu", lambda: True)
    settings.DEVICE_SLOTS = ["gpu0", "local"]
    assert runs.claim(queued(project, "holds it", device="gpu"), f"{HOST}:gpu0", "w:0")

    def questions() -> int:
        queued(project, "wants the cpu", Priority.LOW, "cpu")
        with CaptureQueriesContext(connection) as asked:
            assert taken() == "wants the cpu"
        return len(asked)

    few = questions()
    for number in range(10):
        queued(project, f"wants a gpu {number}", device="gpu")
    assert questions() == few


def test_what_a_lost_claim_has_taken_is_looked_at_again(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    queued(project, "first")
    queued(project, "second")
    claim, lost = runs.claim, []

    def lost_once(run: Run, *slot: str) -> bool:
        if not lost:
            lost.append(claim(run, f"{HOST}:gpu0", "w:2"))
            return False
        return claim(run, *slot)

    monkeypatch.setattr(runs, "claim", lost_once)
    assert taken() == "" and lost == [True]
    assert Run.objects.get(name="second").state == RunState.QUEUED


def test_a_run_that_wants_the_cpu_holds_no_gpu(
    project: Project, settings: LazySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "has_gpu", lambda: True)
    settings.DEVICE_SLOTS = ["local"]
    assert queueing.take(queued(project, "on the cpu", device="cpu"), "w:1")
    settings.DEVICE_SLOTS = ["gpu0"]
    assert queueing.take(queued(project, "on a gpu"), "w:2")


def test_on_a_host_without_a_gpu_slots_of_any_name_stand_side_by_side(
    project: Project, settings: LazySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "has_gpu", lambda: False)
    settings.DEVICE_SLOTS = ["local", "other"]
    for name in ("a", "b"):
        assert queueing.take(queued(project, name), "w:1")


def test_a_gpu_of_another_host_is_another_one(project: Project) -> None:
    assert runs.claim(queued(project, "there"), f"{HOST}2:gpu0", "w:1")
    assert queueing.take(queued(project, "here"), "w:2")


def test_a_manager_changes_the_priority_while_a_run_waits_and_the_history_says_so(project: Project, lead: User) -> None:
    run = queued(project, "mine")
    queueing.set_priority(run, Priority.HIGH, lead)
    assert (run.priority, run.events.last().detail) == (Priority.HIGH, "Its priority is high from now on.")
    assert run.events.last().actor == lead
    assert queueing.take_next("w:1") == run
    with pytest.raises(HasBegun):
        queueing.set_priority(run, Priority.LOW, lead)
    run.refresh_from_db()
    assert run.priority == Priority.HIGH


def test_a_priority_has_a_name(project: Project) -> None:
    assert queueing.priority_named("high") == Priority.HIGH
    with pytest.raises(BadInput, match="urgent") as refused:
        queueing.priority_named("urgent")
    assert "high, normal, low" in refused.value.hint


@pytest.mark.django_db(transaction=True)
def test_of_eight_threads_looking_at_one_gpu_one_gets_a_run_and_it_is_the_best(project: Project) -> None:
    for number in range(6):
        queued(project, f"run {number}", Priority.HIGH if number == 4 else Priority.NORMAL)

    def look(number: int) -> Run | None:
        try:
            return queueing.take_next(f"w:{number}")
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        found = [run for run in pool.map(look, range(8)) if run]
    assert [run.name for run in found] == ["run 4"]
    assert Run.objects.active().count() == 1


TAKES = """
import sys, django
django.setup()
from django.conf import settings
from training.workflow import queueing
settings.DEVICE_SLOTS = ["gpu0", "gpu1", "gpu2"]
while run := queueing.take_next(f"process:{sys.argv[1]}"):
    print(run.pk, run.slot)
"""


@pytest.mark.django_db(transaction=True)
def test_two_processes_never_take_one_gpu_twice_nor_one_run(project: Project) -> None:
    """Three devices for both: the three best runs are taken, each once and each on a device of its own."""
    rows = [queued(project, f"run {number}", Priority(number % 3 - 1)) for number in range(9)]
    command = [sys.executable, "-c", TAKES]
    more = {"cwd": settings.BASE_DIR, "env": environment(), "stdout": subprocess.PIPE, "text": True}
    started = [subprocess.Popen([*command, str(number)], **more) for number in range(2)]
    lines = [line.split() for process in started for line in process.communicate(timeout=60)[0].splitlines()]
    assert [process.returncode for process in started] == [0, 0]
    assert sorted(int(key) for key, _slot in lines) == [run.pk for run in rows if run.priority == Priority.HIGH]
    assert sorted(slot for _key, slot in lines) == [f"{HOST}:gpu{number}" for number in range(3)]


@pytest.mark.django_db(transaction=True)
def test_of_eight_threads_with_four_names_for_one_gpu_one_gets_it(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting = [queued(project, f"run {number}") for number in range(8)]
    names = ["gpu0", "gpu0+1", "local", "gpu00"]
    claim = runs.claim

    def hesitant(run: Run, slot: str, worker: str) -> bool:
        """As if all had looked before the first one takes it."""
        time.sleep(0.05)
        return claim(run, slot, worker)

    monkeypatch.setattr(runs, "claim", hesitant)

    def look(number: int) -> bool:
        try:
            return queueing._claim(waiting[number], f"{HOST}:{names[number % len(names)]}", f"w:{number}")
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(look, range(8))) == 1
    assert Run.objects.active().count() == 1
