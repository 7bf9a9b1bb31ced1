"""How many bytes of tensors a computation holds at once, exactly: what torch's allocator tells its profiler."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.profiler import ProfilerActivity, profile


def peak_bytes(work: Callable[[], object]) -> int:
    """The most that `work` has allocated at one time beyond what was there before it; temporaries of kernels too."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        work()
    held = most = 0
    for size in _allocations(seen.profiler.kineto_results.experimental_event_tree()):
        held += size
        most = max(most, held)
    return most


def _allocations(roots: list) -> list[int]:
    found, waiting = [], list(roots)
    while waiting:
        event = waiting.pop()
        waiting += event.children
        if event.tag == torch._C._profiler._EventType.Allocation:
            found.append((event.start_time_ns, event.extra_fields.alloc_size))
    return [size for _, size in sorted(found, key=lambda one: one[0])]
