"""How much memory this process holds now: of the host, and of the GPU where torch has one."""

from __future__ import annotations

import sys

import psutil


def memory_in_use() -> dict[str, int]:
    """`memory_bytes`: resident; `gpu_memory_bytes`: reserved by torch, if it computes on a GPU. Some microseconds."""
    # Asked for anew each time: a process that was forked off is another one.
    held = {"memory_bytes": psutil.Process().memory_info().rss}
    torch = sys.modules.get("torch")
    # Only where it is loaded already: this must not be what loads it.
    if torch is not None and torch.cuda.is_initialized():
        held["gpu_memory_bytes"] = torch.cuda.memory_reserved()
    return held
