"""How much memory this process holds now, and has held at most: of the host, and of the GPU where torch has one."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import psutil

STATUS = Path("/proc/self/status")


def memory_in_use() -> dict[str, int]:
    """`memory_bytes`: resident; `gpu_memory_bytes`: reserved by torch, if it computes on a GPU. Some microseconds."""
    # Asked for anew each time: a process that was forked off is another one.
    held = {"memory_bytes": psutil.Process().memory_info().rss}
    torch = sys.modules.get("torch")
    # Only where it is loaded already: this must not be what loads it.
    if torch is not None and torch.cuda.is_initialized():
        held["gpu_memory_bytes"] = torch.cuda.memory_reserved()
    return held


def peak_memory() -> dict[str, int]:
    """The most that this process has held so far, in the same parts."""
    held = {"memory_bytes": _peak_of_host()}
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        held["gpu_memory_bytes"] = torch.cuda.max_memory_reserved()
    return held


def _peak_of_host() -> int:
    """Where Linux says it, of this program alone: what the system keeps of a process counts its parent's memory at the
    fork. Elsewhere what the system keeps, in kilobytes but on macOS; on Windows the largest working set."""
    if STATUS.exists():
        line = next((line for line in STATUS.read_text().splitlines() if line.startswith("VmHWM:")), "")
        if line:
            return int(line.split()[1]) * 1024
    if sys.platform == "win32":
        return psutil.Process().memory_info().peak_wset
    resource = importlib.import_module("resource")
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024
