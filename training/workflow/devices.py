"""Reads the names of device slots: how many processes a run gets there, which GPUs they see, and who shares one."""

import re
from dataclasses import dataclass
from pathlib import Path

# What the drivers of NVIDIA and of AMD put there; this process must not load torch to ask it.
GPU_FILES = ("/dev/nvidiactl", "/dev/kfd")


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
        numbers = [str(int(number)) for number in gpus[1].split("+")]  # gpu00 is gpu0
        return Devices(",".join(numbers), len(numbers))
    if processors := re.fullmatch(r"cpu\*([1-9]\d*)", name):
        return Devices("", int(processors[1]))
    return Devices("" if name.startswith("cpu") else None)


def has_gpu() -> bool:
    return any(Path(file).exists() for file in GPU_FILES)


def share_a_gpu(one: Devices, other: Devices, gpus_found: bool) -> bool:
    """Whether runs on both could compute on one GPU of a host. A name of no GPU is all that the host has, and where the
    other names a GPU the host has some, whether any are `gpus_found` or not."""
    if one.visible and other.visible:
        return not set(one.gpus).isdisjoint(other.gpus)
    if "" in (one.visible, other.visible):
        return False
    return gpus_found or bool(one.visible or other.visible)


def named_twice(names: list[str], gpus_found: bool) -> list[str]:
    """What stands in a list of slots more than once, so that two runs would share it: a slot, a GPU, or, beside another
    that sees a GPU, the name of all that the host has."""
    found = [devices_of(name) for name in names]
    gpus = [f"gpu{number}" for devices in found for number in devices.gpus]
    twice = [name for name in names if names.count(name) > 1] + [name for name in gpus if gpus.count(name) > 1]
    of_all = [name for name, devices in zip(names, found, strict=True) if devices.visible is None]
    if gpus or (gpus_found and len(of_all) > 1):
        twice += of_all
    return sorted(set(twice))
