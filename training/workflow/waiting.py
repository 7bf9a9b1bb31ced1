"""For what a run waits: a stage, a device and who has it, a worker that is not there, or the message to begin."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Self

from django.db.models import Q
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from annotate.lists import listed
from training.models import ACTIVE, DeviceWish, Run, RunState, Worker
from training.workflow.workers import device_of

SHOWN = 3
WHOLE = "local"  # the slot of a worker whose host is one device


class Wait(str):
    """For what a run waits, in words; `runs`: the ids of the runs of its project that these name."""

    runs: tuple[int, ...]

    def __new__(cls, text: str, runs: Iterable[int] = ()) -> Self:
        wait = super().__new__(cls, text)
        wait.runs = tuple(runs)
        return wait


@dataclass(frozen=True)
class Scene:
    """Who is there and who has what, read once for all runs of a page. `taken`: slot -> the run that has it."""

    serving: dict[str, list[str]]
    taken: dict[str, Run]
    queue: list[Run]
    stages: dict[int, list[Run]]
    workers: int


def waits_of(shown: Iterable[Run]) -> dict[int, Wait]:
    """run id -> for what it waits, in the reader's language; nothing for runs that have begun. At most four queries."""
    waiting = [run for run in shown if run.has_not_begun]
    if not waiting:
        return {}
    scene = look(waiting)
    return {
        run.pk: _of_stage(run, scene) if run.state == RunState.WAITING else _of_queued(run, scene) for run in waiting
    }


def look(waiting: list[Run]) -> Scene:
    workers = list(Worker.objects.alive())
    serving = {entry["slot"]: entry["serves"] for worker in workers for entry in worker.slots}
    rows = Run.objects.filter(Q(state__in=ACTIVE) | Q(state=RunState.QUEUED)).only("project", "state", "slot", "device")
    found = list(rows.order_by("-priority", "id"))
    stages: dict[int, list[Run]] = {}
    rounds = {run.round_id for run in waiting if run.state == RunState.WAITING}
    for stage in Run.objects.filter(round__in=rounds).order_by("stage") if rounds else []:
        stages.setdefault(stage.round_id, []).append(stage)
    taken = {run.slot: run for run in found if run.slot}
    return Scene(serving, taken, [run for run in found if run.state == RunState.QUEUED], stages, len(workers))


def to_announce() -> list[Run]:
    """A run for every message that is worth sending now; none while no device of a living worker is free for one,
    since a broker keeps whatever nobody fetches.

    A message says only that there is work, and brokers deal them out in turn: with one for each worker at least, the
    worker that has something free is not missed.
    """
    scene = look([])
    free = [wishes for slot, wishes in scene.serving.items() if slot not in scene.taken]
    fitting = [run for run in scene.queue if any(run.device in wishes for wishes in free)]
    return list(islice(cycle(fitting), max(min(len(fitting), len(free)), scene.workers)))


def _of_stage(run: Run, scene: Scene) -> Wait:
    """The first stage before it that is not done."""
    before = [stage for stage in scene.stages.get(run.round_id, []) if stage.stage < run.stage]
    open_ones = [stage for stage in before if stage.state != RunState.SUCCEEDED]
    if not open_ones:
        return Wait(_("Waits for its turn."))
    facts = {"run": open_ones[0], "id": open_ones[0].pk, "state": open_ones[0].get_state_display()}
    return Wait(_("Waits for “%(run)s” (run %(id)s): %(state)s.") % facts, [open_ones[0].pk])


def _of_queued(run: Run, scene: Scene) -> Wait:
    if not scene.serving:
        return Wait(_("No worker is running."))
    fitting = [slot for slot, wishes in scene.serving.items() if run.device in wishes]
    if not fitting:
        if run.device == DeviceWish.GPU:
            return Wait(_("Wants a GPU, and no worker with one is there."))
        return Wait(_("Wants the CPU, and no worker that gives it is there."))
    # One that has been given a device since it was read does not wait for itself.
    free = [slot for slot in fitting if slot not in scene.taken or scene.taken[slot].pk == run.pk]
    said = _("A device is free: a worker takes it in a moment.") if free else _taken(run, fitting, scene)
    holders = [] if free else [scene.taken[slot] for slot in fitting[:SHOWN]]
    named = [holder.pk for holder in holders if holder.project_id == run.project_id]
    return Wait(f"{said} {_ahead(run, fitting, scene)}".strip(), named)


def _taken(run: Run, fitting: list[str], scene: Scene) -> str:
    hosts = {slot.rpartition(":")[0] for slot in scene.serving}
    names = [slot if len(hosts) > 1 else _device(slot) for slot in fitting]
    each = [_one(run, name, scene.taken[slot]) for name, slot in zip(names, fitting, strict=True)][:SHOWN]
    if len(fitting) > SHOWN:
        each.append("…")
    return _("Waits for a device: %(devices)s.") % {"devices": listed(each)}


def _device(slot: str) -> str:
    return _("the machine") if device_of(slot) == WHOLE else device_of(slot)


def _one(run: Run, name: str, holder: Run) -> str:
    """Of another project's run no more is said than that it is one."""
    if holder.project_id != run.project_id:
        return _("%(device)s is taken by a run of another project") % {"device": name}
    return _("%(device)s is taken by run %(id)s") % {"device": name, "id": holder.pk}


def _ahead(run: Run, fitting: list[str], scene: Scene) -> str:
    """How many that could be given one of its devices come first."""
    wishes = {wish for slot in fitting for wish in scene.serving[slot]}
    position = next((place for place, queued in enumerate(scene.queue) if queued.pk == run.pk), 0)
    number = sum(queued.device in wishes for queued in scene.queue[:position])
    if not number:
        return ""
    return ngettext("%(n)s run comes before it.", "%(n)s runs come before it.", number) % {"n": number}
