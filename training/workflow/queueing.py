"""The queue: the best run for a device is taken first, and a manager may change whose turn it is."""

from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from annotate.models import User
from training.models import ACTIVE, Priority, Run
from training.workflow import runs, workers
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
        for run in Run.objects.queued().filter(device__in=workers.serves(slot)):
            if is_busy(slot):
                break
            if runs.claim(run, slot, worker):
                return run
    return None


def take(run: Run, worker: str) -> bool:
    """Claims this run onto a device of this host that serves it, whoever else is waiting."""
    return any(runs.claim(run, slot, worker) for slot in workers.slots() if run.device in workers.serves(slot))


def is_busy(slot: str) -> bool:
    return Run.objects.filter(slot=slot, state__in=ACTIVE).exists()


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
