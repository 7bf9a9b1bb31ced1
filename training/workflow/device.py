"""What this machine computes on: its memory, and how fast it multiplies matrices; torch is not asked."""

import json
import logging
import os
import shutil
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from functools import lru_cache

import psutil
from django.conf import settings

from training.recipes.estimate import Machine, Speed
from training.workflow.cgroups import memory_limits
from training.workflow.devices import devices_of

PATIENCE = 20  # seconds: a request waits for it, and web servers give up on one after 30
AGAIN = 600  # seconds after which a busy machine is measured once more
_measuring = threading.Lock()

logger = logging.getLogger(__name__)

# Resident beside what belongs to the model: Python and libraries, measured (docs/performance.md).
PROCESS_BYTES = 600_000_000
# Of a GPU: what CUDA keeps for itself once a process uses it. Reported of PyTorch as 723 MiB and about 800 MB
# (discuss.pytorch.org 73021 and 81330); it goes with GPU and version, and torch's allocator does not know of it.
CONTEXT_BYTES = 800_000_000
ONE_THREAD = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
# A run on a CPU does so much of what its matrix products would let it do (docs/performance.md).
SHARE_OF_PRODUCTS = 0.45
MEBIBYTE = 2**20


@dataclass
class _Kept:
    """What was measured, when, and whether something else was at work then."""

    speed: dict[str, float] = field(default_factory=dict)
    at: float = 0.0
    busy: bool = False


_kept = _Kept()


@dataclass(frozen=True)
class Found:
    """Bytes of the host and of its largest GPU, 0 without one."""

    host: int
    gpu: int

    @property
    def device(self) -> str:
        return "gpu" if self.gpu else "cpu"

    def memory(self, device: str) -> int | None:
        return (self.gpu or None) if device == "gpu" else self.host


@lru_cache(maxsize=1)
def found() -> Found:
    """Looked at once a process: it does not change."""
    return Found(_host_memory(), _gpu_memory())


def machine(device: str = "", memory: int | None = None, devices: int | None = None) -> Machine:
    """The device asked for, or the one that a run would take here; its memory as given, or as found; and how many of
    them a run is given, as asked for, or as many as the largest slot of this host has."""
    device = device or found().device
    own = PROCESS_BYTES if device == "cpu" else CONTEXT_BYTES
    return Machine(device, found().memory(device) if memory is None else memory, own, devices or largest_slot(device))


def largest_slot(device: str) -> int:
    """Of those that are of this kind, or take what there is."""
    slots = [devices_of(name) for name in settings.DEVICE_SLOTS]
    return max([slot.processes for slot in slots if bool(slot.visible) == (device == "gpu")], default=1)


def speed(device: str) -> Speed:
    """What was measured here on the CPU; of a GPU nothing is known before a run has been made there."""
    measured = measured_speed() if device == "cpu" else {}
    if not measured:
        return Speed()
    return Speed("matrix product", SHARE_OF_PRODUCTS * measured["operations"], measured["bytes"])


def measured_speed() -> dict[str, float]:
    """{"operations", "bytes"} a second on the CPU (training/ml/speed.py); empty, and tried again the next time, where
    that cannot be had. In a process of its own: a web process is held to one thread and loads no torch. Once, but a
    machine that was busy, on which a run found half of it gone, is measured again later; the best counts."""
    with _measuring:
        if not _kept.speed or (_kept.busy and time.monotonic() - _kept.at >= AGAIN):
            _kept.busy = os.getloadavg()[0] > 0.5
            _kept.speed |= {name: max(value, _kept.speed.get(name, 0.0)) for name, value in _measure().items()}
            _kept.at = time.monotonic()
    return dict(_kept.speed)


def _measure() -> dict[str, float]:
    environment = {name: value for name, value in os.environ.items() if name not in ONE_THREAD}
    environment["CUDA_VISIBLE_DEVICES"] = ""
    command = [sys.executable, "-m", "training.ml.speed"]
    where = {"env": environment, "cwd": settings.BASE_DIR}
    try:
        done = subprocess.run(command, **where, capture_output=True, text=True, timeout=PATIENCE, check=True)
        return {name: float(value) for name, value in json.loads(done.stdout).items()}
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        logger.warning("The speed of this machine could not be measured: %s", error)
        return {}


def _host_memory() -> int:
    """Of the machine, or of the container that this runs in, where that is allowed less."""
    return min([psutil.virtual_memory().total, *memory_limits()])


def _gpu_memory() -> int:
    program = shutil.which("nvidia-smi")
    if not program:
        return 0
    command = [program, "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return 0
    sizes = [int(line) for line in done.stdout.split() if line.isdigit()]
    return max(sizes, default=0) * MEBIBYTE
