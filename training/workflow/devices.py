"""Reads the names of device slots: how many processes a run gets there, and which GPUs they see."""

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Devices:
    """`visible` is CUDA_VISIBLE_DEVICES of the run's processes; None leaves it as the worker has it."""

    visible: str | None = None
    processes: int = 1

    @property
    def gpus(self) -> tuple[str, ...]:
        return tuple(self.visible.split(",")) if self.visible else ()


def devices_of(name: str) -> Devices:
    """gpu0 is one GPU, gpu0+1 two with a process each, cpu*2 two processes without any, and so is every name
    that begins with cpu, in one process; all else is the worker's own machine in one process."""
    if gpus := re.fullmatch(r"gpu(\d+(?:\+\d+)*)", name):
        numbers = gpus[1].split("+")
        return Devices(",".join(numbers), len(numbers))
    if processors := re.fullmatch(r"cpu\*([1-9]\d*)", name):
        return Devices("", int(processors[1]))
    return Devices("" if name.startswith("cpu") else None)


def named_twice(names: list[str]) -> list[str]:
    """GPUs and slots that stand in a list of slots more than once: two runs would share them."""
    named = list(names)
    for name in names:
        named += [f"gpu{number}" for number in devices_of(name).gpus if f"gpu{number}" != name]
    return sorted({name for name in named if named.count(name) > 1})
