"""What a launcher has told this process about itself: which one of how many it is. Known before torch is loaded."""

from __future__ import annotations

import importlib.util
import os

from training.ml.errors import ModelError
from training.recipes.words import gettext_noop


class NotNeeded(Exception):
    """What is left of the run is the first process's alone; run.py ends this one, and its work is done."""


class TrainedInParts(Exception):
    """The model has been trained in parts, and its last checkpoint is written. What follows needs it whole: run.py
    begins the job again in this process alone, and finds nothing left to train."""


class PeerLost(Exception):
    """Another process of the run is gone. It has told why, or the launcher will."""


def is_loss(error: Exception) -> bool:
    """Whether a process can go no further because another one is gone, also where torch or DeepSpeed says so."""
    words = str(error)
    lost = any(sign in words for sign in ("Connection closed by peer", "Connection reset by peer", "remote process"))
    return isinstance(error, PeerLost) or (processes() > 1 and isinstance(error, RuntimeError) and lost)


def processes() -> int:
    """How many processes the run was started with."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_first() -> bool:
    """Whether this process tells, saves and evaluates."""
    return int(os.environ.get("RANK", "0")) == 0


def place() -> int:
    """This process's number on its host, which is that of its GPU among those that the run may see."""
    return int(os.environ.get("LOCAL_RANK", "0"))


def require_one_process(count: int | None = None) -> None:
    """Raises ModelError("one_process_only") where there are several, or `count` are asked for."""
    if (processes() if count is None else count) > 1:
        raise ModelError(
            "one_process_only",
            gettext_noop("This recipe draws its own data as it learns, and does so in one process only."),
            gettext_noop("Start the run with one process; its batches may fill the whole GPU."),
        )


def require_installed(parallel: str) -> None:
    """Raises ModelError("not_installed") for a kind of sharding whose package is not there."""
    if parallel == "deepspeed" and importlib.util.find_spec("deepspeed") is None:
        raise ModelError(
            "not_installed",
            gettext_noop("Several GPUs by DeepSpeed need the package deepspeed, which this machine does not have."),
            gettext_noop("Install it, or choose ddp or fsdp."),
        )
