"""A reference for tests: prepared from a model, in a cache of its own."""

from __future__ import annotations

import uuid
from pathlib import Path

from torch import nn

from training.ml.logprobs import Sequences
from training.ml.progress import Progress
from training.ml.reference import Reference


def reference_of(model: nn.Module, sequences: Sequences, directory: Path) -> Reference:
    reference = Reference(directory / "cache", uuid.uuid4().hex)
    reference.prepare(model, sequences, 4, Progress(directory))
    return reference
