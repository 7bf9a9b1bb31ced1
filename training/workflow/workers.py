"""Names this process and its host's device slots, says which runs they serve, and that this worker lives."""

import os
import socket

import psutil
from django.conf import settings
from django.db.models.functions import Now

from training.models import DeviceWish, Run, Worker
from training.workflow.devices import has_gpu


def worker_name() -> str:
    """Host and process: enough to tell later whether the supervisor still lives."""
    return f"{socket.gethostname()}:{os.getpid()}"


def slots() -> list[str]:
    """The devices of this host, a run each at a time."""
    return [f"{socket.gethostname()}:{device}" for device in settings.DEVICE_SLOTS]


def device_of(slot: str) -> str:
    return slot.rpartition(":")[2]


def device_for(run: Run) -> str:
    """What its process is started with: the device of its slot, without the GPUs if it wishes for the CPU."""
    device = device_of(run.slot or "")
    return "cpu" if run.device == DeviceWish.CPU and not device.startswith("cpu") else device


def serves(slot: str) -> list[DeviceWish]:
    """What runs may wish for to be carried out here. "gpu0" is a GPU and "cpu" is none; a device of another name
    ("local") is all that this host has, and a run that wishes for the CPU is kept off its GPU."""
    device = device_of(slot)
    if device.startswith("gpu"):
        return [DeviceWish.ANY, DeviceWish.GPU]
    if device.startswith("cpu") or not has_gpu():
        return [DeviceWish.ANY, DeviceWish.CPU]
    return [DeviceWish.ANY, DeviceWish.GPU, DeviceWish.CPU]


def show() -> None:
    """This worker lives, with these devices. Those long silent are forgotten."""
    facts = [{"slot": slot, "serves": serves(slot)} for slot in slots()]
    Worker.objects.update_or_create(name=worker_name(), defaults={"slots": facts, "seen_at": Now()})
    Worker.objects.exclude(pk__in=Worker.objects.alive()).delete()


def leave() -> None:
    """This worker takes no more runs."""
    Worker.objects.filter(name=worker_name()).delete()


def is_gone(worker: str) -> bool:
    """True only if the worker was a process of this host and that process exists no more."""
    host, _, process = worker.rpartition(":")
    return host == socket.gethostname() and process.isdigit() and not psutil.pid_exists(int(process))
