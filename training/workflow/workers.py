"""Names this process and its host's device slots, and tells whether another supervisor of this host is gone."""

import os
import socket

import psutil
from django.conf import settings


def worker_name() -> str:
    """Host and process: enough to tell later whether the supervisor still lives."""
    return f"{socket.gethostname()}:{os.getpid()}"


def slots() -> list[str]:
    """The devices of this host, a run each at a time."""
    return [f"{socket.gethostname()}:{device}" for device in settings.DEVICE_SLOTS]


def device_of(slot: str) -> str:
    return slot.rpartition(":")[2]


def is_gone(worker: str) -> bool:
    """True only if the worker was a process of this host and that process exists no more."""
    host, _, process = worker.rpartition(":")
    return host == socket.gethostname() and process.isdigit() and not psutil.pid_exists(int(process))
