"""What the processes of one run do together: begin, share, add up, wait. Alone, each of these is nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from training.ml import launched
from training.ml.errors import ModelError, is_out_of_memory
from training.recipes.words import gettext_noop

# The others may wait while one evaluates or saves; one that has died is noticed by gloo, at once.
PATIENCE = timedelta(hours=2)
# NCCL notices nobody's death: a process then waits on the GPU, where no signal reaches it. What is computed on the way
# to the next tensor is of one step, and all that takes longer is waited for by gloo.
OF_A_STEP = timedelta(minutes=30)
Kind = TypeVar("Kind")


@dataclass
class _Words:
    """The group through which the processes talk, where it is not that of their tensors."""

    group: dist.ProcessGroup | None = None


_words = _Words()


def begin() -> None:
    """Meet the other processes that the launcher has started, each on a GPU of its own where there are GPUs."""
    if launched.processes() == 1 or dist.is_initialized():
        return
    gpus = torch.cuda.is_available()
    if gpus:
        _require_gpus()
        torch.cuda.set_device(launched.place())
    with _reaching():
        dist.init_process_group("nccl" if gpus else "gloo", timeout=OF_A_STEP if gpus else PATIENCE)
        _words.group = dist.new_group(backend="gloo", timeout=PATIENCE) if gpus else None


def _require_gpus() -> None:
    """All processes ask the same, or some would wait for those that have none. Raises ModelError("too_few_gpus")."""
    if launched.processes() > torch.cuda.device_count():
        raise ModelError(
            "too_few_gpus",
            gettext_noop("The run has %(processes)s processes, and this machine has %(gpus)s GPU(s) for them."),
            gettext_noop("Name only GPUs that there are in PLUMBLINE_DEVICE_SLOTS, and start the worker again."),
            processes=launched.processes(),
            gpus=torch.cuda.device_count(),
        )


def end() -> None:
    """From here on each process is alone; all of them come to this together."""
    if dist.is_initialized():
        meet()
        dist.destroy_process_group()
        _words.group = None


def count() -> int:
    return dist.get_world_size() if dist.is_initialized() else 1


def number() -> int:
    return dist.get_rank() if dist.is_initialized() else 0


def meet() -> None:
    """Wait until all are here."""
    if count() > 1:
        gathered(None)


def share(things: Sequence[Kind]) -> list[Kind]:
    """Those that are this process's to do."""
    return list(things[number() :: count()])


@contextmanager
def first_goes_first() -> Iterator[None]:
    """The first process does the block before the others: what it writes or tidies, they find done."""
    if not launched.is_first():
        meet()
    yield
    if launched.is_first():
        meet()


def gathered(value: Kind) -> list[Kind]:
    """What every process has to say, in their order. Raises PeerLost."""
    if count() == 1:
        return [value]
    found: list[Any] = [None] * count()
    with _reaching():
        dist.all_gather_object(found, value, group=_words.group)
    return found


def any_of(value: bool) -> bool:
    return any(gathered(value))


def totals(sums: dict[str, float]) -> dict[str, float]:
    """The sums of all processes; a name that one of them lacks counts as zero there."""
    found: dict[str, float] = {}
    for one in gathered(sums):
        for name, value in one.items():
            found[name] = found.get(name, 0.0) + value
    return found


def add_up_gradients(weights: Sequence[Tensor]) -> None:
    """Every process's gradients become the sum of all. A weight that nobody has a gradient for keeps none, so that the
    optimizer passes over it as it would in one process. Raises PeerLost."""
    if count() == 1:
        return
    had = torch.tensor([weight.grad is not None for weight in weights], dtype=torch.int32, device=weights[0].device)
    with _reaching():
        dist.all_reduce(had)
        waited = []
        for weight, holders in zip(weights, had.tolist(), strict=True):
            if holders:
                weight.grad = torch.zeros_like(weight) if weight.grad is None else weight.grad.contiguous()
                waited.append(dist.all_reduce(weight.grad, async_op=True))
        for one in waited:
            one.wait()


@contextmanager
def _reaching() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        if is_out_of_memory(error):
            raise
        raise launched.PeerLost(str(error).splitlines()[0]) from error
