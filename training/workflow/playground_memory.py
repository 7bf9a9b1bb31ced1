"""What the models of a playground will take of the device's memory, before they are loaded."""

from dataclasses import dataclass

from django.utils.translation import gettext as _

from training.models import Artifact, DeviceWish
from training.recipes.estimate import Machine, Memory, loaded_memory
from training.workflow import device
from training.workflow.configs import architecture_of
from training.workflow.exceptions import BadConfig, BadInput, TooLittleMemory
from training.workflow.sizes import size


@dataclass(frozen=True)
class Wanted:
    """`memory` is None where it is not known, and `problem` says why."""

    machine: Machine
    memory: Memory | None = None
    problem: str = ""

    @property
    def fits(self) -> bool:
        return self.memory is None or self.machine.fits(self.memory)


def memory_wanted(policies: list[Artifact], reward: Artifact | None, wish: str = DeviceWish.ANY) -> Wanted:
    """From each config.json alone, for the device that a run with this wish would take on this machine."""
    machine = device.machine("" if wish == DeviceWish.ANY else wish)
    try:
        spoken = [architecture_of(model) for model in policies]
        memory = loaded_memory(spoken, architecture_of(reward) if reward else None, machine.device)
    except BadConfig as error:  # its hint is for whoever gives a config.json
        return Wanted(machine, problem=error.message)
    except BadInput as error:
        return Wanted(machine, problem=f"{error.message} {error.hint}".strip())
    return Wanted(machine, memory)


def require_room(wanted: Wanted) -> None:
    """Raises TooLittleMemory with both figures."""
    if wanted.fits or wanted.memory is None or wanted.machine.memory is None:
        return
    needed = wanted.machine.taken(wanted.memory)
    raise TooLittleMemory(
        _("These models need about %(needed)s of memory, and this machine has %(has)s.")
        % {"needed": size(needed), "has": size(wanted.machine.memory)},
        _("Choose fewer or smaller models, or say that it is to be started anyway, if the worker has more."),
        where="anyway",
    )
