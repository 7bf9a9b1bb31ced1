"""Tables of the right wing, one file a topic."""

from training.models.artifact import Artifact, Task
from training.models.round import Round
from training.models.run import ACTIVE, Run, RunEvent, RunState
from training.models.sample import Sample

__all__ = ["ACTIVE", "Artifact", "Round", "Run", "RunEvent", "RunState", "Sample", "Task"]
