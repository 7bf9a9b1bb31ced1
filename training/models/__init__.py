"""Tables of the right wing, one file a topic."""

from training.models.artifact import Artifact, Task
from training.models.bench import Bench
from training.models.kept import KeptReport
from training.models.playground import Playground, PlaygroundRule
from training.models.probes import ProbeSet
from training.models.round import Round
from training.models.run import ACTIVE, LARGEST_SEED, NOT_BEGUN, DeviceWish, Priority, Run, RunEvent, RunState
from training.models.sample import Sample
from training.models.worker import Worker

__all__ = [
    "ACTIVE",
    "LARGEST_SEED",
    "NOT_BEGUN",
    "Artifact",
    "Bench",
    "DeviceWish",
    "KeptReport",
    "Playground",
    "PlaygroundRule",
    "Priority",
    "ProbeSet",
    "Round",
    "Run",
    "RunEvent",
    "RunState",
    "Sample",
    "Task",
    "Worker",
]
