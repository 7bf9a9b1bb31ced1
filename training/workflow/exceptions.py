"""What can go wrong between a snapshot and new samples, named by cause."""

from annotate.workflow.exceptions import TooFewLabels, WorkflowError

__all__ = [
    "BadConfig",
    "BadInput",
    "BrokenArtifact",
    "ExportExists",
    "HasBegun",
    "ModelInUse",
    "ModelNotFound",
    "ModelRefused",
    "NameTaken",
    "NoPrompts",
    "NotAllowed",
    "NotCancellable",
    "NotComparable",
    "NotScored",
    "PlaygroundBusy",
    "PlaygroundEnded",
    "RunNotResumable",
    "TooFewLabels",
    "TooLittleDisk",
    "TooLittleMemory",
    "WorkflowError",
]


class ModelNotFound(WorkflowError):
    """Nothing is at this location, or the project has no such model."""

    status = 404


class ModelRefused(WorkflowError):
    """Something is there, but it is no model that can be used: pickle only, no causal LM, no chat template."""

    status = 400


class NameTaken(WorkflowError):
    """The project has a model, or a set of probes, of this name already."""


class BrokenArtifact(WorkflowError):
    """A run's product is not whole, or its weights are not those of its manifest."""


class BadConfig(WorkflowError):
    """A recipe's setting cannot be used; `field` and `recipe` name it, `said` is what is wrong without its name."""

    status = 400

    def __init__(self, message: str, hint: str = "", field: str = "", recipe: str = "", said: str = "") -> None:
        super().__init__(message, hint, where=f"{recipe}.{field}" if recipe and field else field)
        self.field = field
        self.recipe = recipe
        self.said = said or message


class BadInput(WorkflowError):
    """A recipe lacks what it learns from, or is given what it would not look at."""

    status = 400


class ExportExists(WorkflowError):
    """A directory of this name exists or is being written, and nothing is written over."""


class ModelInUse(WorkflowError):
    """Something would break if it were deleted."""


class NoPrompts(WorkflowError):
    """There is nothing to sample responses to."""


class TooLittleDisk(WorkflowError):
    """The run would fill the disk."""


class NotCancellable(WorkflowError):
    """The run is over already."""


class RunNotResumable(WorkflowError):
    """Only a failed or cancelled run can be taken up again."""


class HasBegun(WorkflowError):
    """The run waits no more, so whose turn it is cannot be changed."""


class TooLittleMemory(WorkflowError):
    """The models would not fit into the memory of the device."""


class PlaygroundEnded(WorkflowError):
    """Nobody is there to answer any more."""


class PlaygroundBusy(WorkflowError):
    """The message before is still being answered."""


class NotAllowed(WorkflowError):
    """The project does not take comparisons from its playgrounds."""


class NotComparable(WorkflowError):
    """The two responses make no comparison: equal, not whole, or not to the same prompt."""


class NotScored(WorkflowError):
    """There are no ranked responses to take the best of, or not yet."""
