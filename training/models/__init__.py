"""Tables of the right wing, one file a topic."""

from training.models.artifact import Artifact, Task
from training.models.kept import KeptReport
from training.models.round import Round
from training.models.run import ACTIVE, NOT_BEGUN, DeviceWish, Priority, Run, RunEvent, RunState
from training.models.sample import Sample
from training.models.worker import Worker

__all__ = [
    "ACTIVE",
    "NOT_BEGUN",
    "Artifact",
    "DeviceWish",
    "KeptReport",
    "Priority",
    "Round",
    "Run",
    "RunEvent",
    "RunState",
    "Sample",
    "Task",
    "Worker",
]
