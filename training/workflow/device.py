"""What this machine computes on: its memory, and how fast it multiplies matrices; torch is not asked."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import lru_cache

import psutil

from training.recipes.estimate import Machine, Speed

# Resident beside what belongs to the model: Python and libraries, measured (docs/performance.md).
PROCESS_BYTES = 600_000_000
ONE_THREAD = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
PRODUCTS = """
import time, numpy
one = numpy.ones((1024, 1024), dtype=numpy.float32)
def product():
    began = time.perf_counter()
    one @ one
    return time.perf_counter() - began
print(2 * 1024**3 / min(product() for _ in range(8)))
"""
MEBIBYTE = 2**20


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
    return Found(psutil.virtual_memory().total, _gpu_memory())


def machine(device: str = "", memory: int | None = None) -> Machine:
    """The device asked for, or the one that a run would take here; its memory as given, or as found."""
    device = device or found().device
    own = PROCESS_BYTES if device == "cpu" else 0
    return Machine(device, found().memory(device) if memory is None else memory, own)


def speed(device: str) -> Speed:
    """By matrix products on the CPU; of a GPU nothing is known before a run has been made there."""
    if device != "cpu":
        return Speed()
    return Speed("matrix product", operations_per_second=products_per_second())


@lru_cache(maxsize=1)
def products_per_second() -> float:
    """Operations a second of fp32 matrix products, the best of a few; 0 where they cannot be made. In a process of its
    own, once: a web process is held to one thread, a training run takes every core."""
    environment = {name: value for name, value in os.environ.items() if name not in ONE_THREAD}
    command = [sys.executable, "-c", PRODUCTS]
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30, check=True)
        return float(done.stdout)
    except (OSError, subprocess.SubprocessError, ValueError):
        return 0.0


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
