"""The queue: the best run for a device is taken first, and a manager may change whose turn it is."""

from django.db import connection, transaction
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from annotate.models import User
from training.models import ACTIVE, DeviceWish, Priority, Run
from training.workflow import runs, workers
from training.workflow.devices import Devices, devices_of, share_a_gpu
from training.workflow.exceptions import BadInput, HasBegun
from training.workflow.told import told

CHANGES = {
    Priority.HIGH: gettext_noop("Its priority is high from now on."),
    Priority.NORMAL: gettext_noop("Its priority is normal from now on."),
    Priority.LOW: gettext_noop("Its priority is low from now on."),
}


def take_next(worker: str) -> Run | None:
    """Claims the best queued run that a free device of this host serves: the highest priority, and then the oldest.

    Looking is only advice: another worker may be faster. The claim decides, and then the next best is tried.
    """
    for slot in workers.slots():
        free = free_for(slot)
        for run in Run.objects.queued().filter(device__in=free):
            if run.device not in free:
                continue
            if _claim(run, slot, worker):
                return run
            if not (free := free_for(slot)):
                break
    return None


def take(run: Run, worker: str) -> bool:
    """Claims this run onto a device of this host that serves it, whoever else is waiting."""
    return any(_claim(run, slot, worker) for slot in workers.slots() if run.device in workers.serves(slot))


def free_for(slot: str) -> list[DeviceWish]:
    """The wishes of runs that could be carried out there now, beside those that this host has under way."""
    host = slot.rpartition(":")[0]
    active = list(Run.objects.filter(state__in=ACTIVE, slot__startswith=f"{host}:").only("slot", "device"))
    if any(run.slot == slot for run in active):
        return []
    held, found = [devices_of(workers.device_for(run)) for run in active], workers.has_gpu()
    return [
        wish for wish in workers.serves(slot) if not any(share_a_gpu(_with(slot, wish), one, found) for one in held)
    ]


def _with(slot: str, wish: DeviceWish) -> Devices:
    return devices_of(workers.device_for(Run(slot=slot, device=wish)))


def _claim(run: Run, slot: str, worker: str) -> bool:
    """The slot is UNIQUE, but that two slots share a GPU no constraint can see: one at a time looks and takes.
    SQLite has no second writer beside this one (BEGIN IMMEDIATE)."""
    with transaction.atomic():
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", [slot.rpartition(":")[0]])
        return run.device in free_for(slot) and runs.claim(run, slot, worker)


def set_priority(run: Run, priority: Priority, actor: User | None = None) -> Run:
    """Raises HasBegun if the run is not waiting any more."""
    if not runs.change_waiting(run, told(CHANGES[priority]), actor, priority=priority):
        raise HasBegun(
            _("“%(run)s” does not wait any more: %(state)s.") % {"run": run, "state": run.get_state_display()},
            _("Only the priority of a run that has not begun can be changed."),
        )
    return run


def priority_named(name: str) -> Priority:
    """Of "high", "normal" or "low". Raises BadInput."""
    if name.upper() in Priority.names:
        return Priority[name.upper()]
    hint = _("Use one of: %(names)s.") % {"names": ", ".join(known.lower() for known in Priority.names)}
    raise BadInput(_("There is no priority “%(name)s”.") % {"name": name}, hint, where="priority")
