"""For what a run waits, told from the stages before it, the devices, and the workers' own words."""

from datetime import timedelta

import pytest
from django.conf import LazySettings
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils import timezone, translation

from annotate.models import Project, Snapshot, User
from annotate.workflow.projects import create_project
from training.models import Artifact, DeviceWish, Priority, Round, Run, RunState, Worker
from training.workflow import presence, runs, waiting, workers

pytestmark = pytest.mark.django_db


def worker(name: str = "h:1", **slots: str) -> Worker:
    """worker(gpu0="gpu") is one with a device that serves GPU wishes and any."""
    facts = [{"slot": f"h:{slot}", "serves": ["any", *kinds.split()]} for slot, kinds in slots.items()]
    return Worker.objects.create(name=name, slots=facts, seen_at=timezone.now())


def queued(project: Project, name: str = "mine", device: str = "any", priority: Priority = Priority.NORMAL) -> Run:
    return runs.create_run(project, "sample", {}, name, device=DeviceWish(device), priority=priority)


def said(run: Run) -> str:
    return waiting.waits_of([run])[run.pk]


def test_without_a_worker_that_is_what_it_waits_for(project: Project) -> None:
    run = queued(project)
    assert said(run) == "No worker is running."
    silent = worker(gpu0="gpu")
    Worker.objects.filter(pk=silent.pk).update(seen_at=timezone.now() - timedelta(hours=1))
    assert said(run) == "No worker is running.", "one that has been silent for an hour is none"


def test_a_wish_that_no_worker_serves_is_named(project: Project) -> None:
    worker(cpu0="cpu")
    assert said(queued(project, device="gpu")) == "Wants a GPU, and no worker with one is there."
    Worker.objects.all().delete()
    worker(gpu0="gpu")
    assert said(queued(project, device="cpu")) == "Wants the CPU, and no worker that gives it is there."


def test_it_is_told_which_run_has_the_device_and_how_many_come_first(project: Project) -> None:
    worker(gpu0="gpu")
    holder = queued(project, "holder")
    assert runs.claim(holder, "h:gpu0", "h:1")
    run = queued(project)
    assert said(run) == f"Waits for a device: gpu0 is taken by run {holder.pk}."
    queued(project, "urgent", priority=Priority.HIGH)
    queued(project, "younger")
    queued(project, "elsewhere", device="cpu", priority=Priority.HIGH)
    assert said(run) == f"Waits for a device: gpu0 is taken by run {holder.pk}. 1 run comes before it."


def test_a_worker_whose_host_is_one_device_is_the_machine_and_the_run_that_has_it_is_linked(
    client: Client, project: Project, lead: User
) -> None:
    worker(local="any")
    holder = queued(project, "holder")
    assert runs.claim(holder, "h:local", "h:1")
    run = queued(project)
    assert said(run) == f"Waits for a device: the machine is taken by run {holder.pk}."
    assert waiting.waits_of([run])[run.pk].runs == (holder.pk,)
    client.force_login(lead)
    for page in (reverse("runs", args=[project.slug]), reverse("run", args=[project.slug, run.pk])):
        there = reverse("run", args=[project.slug, holder.pk])
        assert f'by run {holder.pk}. <a href="{there}">#{holder.pk}</a>' in client.get(page).content.decode()


def test_another_projects_run_is_not_named(project: Project, lead: User) -> None:
    worker(gpu0="gpu")
    other = create_project(slug="other", name="Other", manager=lead, guideline="x", summary="y")
    assert runs.claim(queued(other, "secret"), "h:gpu0", "h:1")
    assert said(queued(project)) == "Waits for a device: gpu0 is taken by a run of another project."


def test_with_a_free_device_it_is_a_matter_of_a_moment(project: Project) -> None:
    worker(gpu0="gpu")
    assert said(queued(project)) == "A device is free: a worker takes it in a moment."


def test_a_run_that_begins_while_its_page_is_made_does_not_wait_for_itself(project: Project) -> None:
    worker(gpu0="gpu")
    run = queued(project)
    assert runs.claim(Run.objects.get(pk=run.pk), "h:gpu0", "h:1")
    assert run.state == RunState.QUEUED, "as the page has read it"
    assert said(run) == "A device is free: a worker takes it in a moment."


def test_devices_of_several_hosts_are_told_with_the_host(project: Project) -> None:
    worker(gpu0="gpu")
    Worker.objects.create(name="k:1", slots=[{"slot": "k:gpu0", "serves": ["any", "gpu"]}], seen_at=timezone.now())
    for slot in ("h:gpu0", "k:gpu0"):
        assert runs.claim(queued(project, slot), slot, "h:1")
    assert "h:gpu0 is taken by run" in said(queued(project)) and "k:gpu0 is taken by run" in said(queued(project))


def test_a_later_stage_names_the_one_before_it(project: Project, round: Round) -> None:
    first, second, third = round.runs.order_by("stage")
    words = f"“Round 1 reward model” (run {first.pk})"
    assert said(second) == f"Waits for {words}: Queued."
    runs.claim(first, "h:gpu0", "h:1")
    runs.finish(first, RunState.FAILED, reason="x")
    assert said(third) == f"Waits for {words}: Failed."


def test_the_page_of_a_list_costs_four_queries_at_most(
    project: Project, round: Round, django_assert_num_queries
) -> None:
    worker(gpu0="gpu")
    rows = [*round.runs.all(), *(queued(project, str(number)) for number in range(20))]
    with django_assert_num_queries(3):
        assert len(waiting.waits_of(rows)) == 23


def test_what_has_begun_waits_for_nothing(project: Project, django_assert_num_queries) -> None:
    run = queued(project)
    runs.claim(run, "h:gpu0", "h:1")
    with django_assert_num_queries(0):
        assert waiting.waits_of([run]) == {}


def test_it_is_told_in_the_readers_language(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "_", lambda text: {"No worker is running.": "没有"}.get(text, text))
    with translation.override("zh-hans"):
        assert said(queued(project)) == "没有"


def test_a_worker_shows_its_devices_and_forgets_those_long_silent(settings: LazySettings, db: None) -> None:
    settings.DEVICE_SLOTS = ["gpu0", "cpu"]
    Worker.objects.create(name="gone:1", seen_at=timezone.now() - timedelta(days=1))
    workers.show()
    workers.show()
    found = Worker.objects.get()
    assert found.name == workers.worker_name()
    assert [entry["serves"] for entry in found.slots] == [["any", "gpu"], ["any", "cpu"]]
    workers.leave()
    assert not Worker.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_presence_beats_from_a_thread_of_its_own_and_says_goodbye(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presence, "SECONDS", 0.05)
    thread = presence.begin()
    deadline = timezone.now() + timedelta(seconds=20)
    while not (first := Worker.objects.first()) and timezone.now() < deadline:
        thread.join(0.05)
    while Worker.objects.get().seen_at == first.seen_at and timezone.now() < deadline:
        thread.join(0.05)
    assert Worker.objects.get().seen_at > first.seen_at
    presence.end()
    thread.join(20)
    assert not thread.is_alive() and not Worker.objects.exists()
    connection.close()


@pytest.fixture
def base(project: Project) -> Artifact:
    return Artifact.objects.create(project=project, name="base", location="owner/base")


@pytest.fixture
def round(project: Project, base: Artifact) -> Round:
    rest = {"content_hash": "x", "query": {}, "guideline_versions": [], "folder": "/x", "counts": {}}
    snapshot = Snapshot.objects.create(project=project, number=1, **rest)
    made = Round.objects.create(project=project, number=1, snapshot=snapshot, base_policy=base)
    for stage, (recipe, name) in enumerate([("reward", "reward model"), ("dpo", "policy"), ("sample", "samples")]):
        state = RunState.WAITING if stage else RunState.QUEUED
        runs.create_run(project, recipe, {}, f"Round 1 {name}", round=made, stage=stage, state=state)
    return made
