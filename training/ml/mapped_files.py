"""Gives back the memory of files that weights were read from, piece by piece as they are needed no more.

safetensors maps a file into memory, which stays there whole until the last tensor of it is gone.
"""

from __future__ import annotations

import ctypes
import mmap
from collections import Counter
from collections.abc import Callable, Collection
from functools import cache
from pathlib import Path

from torch import Tensor


class MappedFiles:
    """What is mapped into this process of the files that `weights` were read from."""

    def __init__(self, weights: Collection[Tensor]) -> None:
        self.ranges = _mapped_ranges()
        # Of two weights in one place each needs it, whichever is laid out first.
        self.shared = {place for place, n in Counter(weight.data_ptr() for weight in weights).items() if n > 1}

    def give_back(self, weight: Tensor) -> None:
        """The pages that nobody will read again, while others of the file are still needed: without this a model was
        there twice until its last weight was laid out. What lies elsewhere is given back as it is freed."""
        low = -(-weight.data_ptr() // mmap.PAGESIZE) * mmap.PAGESIZE
        high = (weight.data_ptr() + weight.nbytes) // mmap.PAGESIZE * mmap.PAGESIZE
        if low >= high or weight.data_ptr() in self.shared or not weight.is_contiguous():
            return
        if any(start <= low and high <= end for start, end in self.ranges):
            _madvise()(ctypes.c_void_p(low), ctypes.c_size_t(high - low), mmap.MADV_DONTNEED)


def _mapped_ranges() -> list[tuple[int, int]]:
    """Addresses of the files that are mapped for this process alone; known on Linux."""
    try:
        lines = Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    fields = [line.split(maxsplit=5) for line in lines]
    files = [one for one in fields if len(one) == 6 and one[5].startswith("/") and one[1].endswith("p")]
    return [(int(low, 16), int(high, 16)) for low, high in (one[0].split("-") for one in files)]


@cache
def _madvise() -> Callable[..., int]:
    return ctypes.CDLL(None, use_errno=True).madvise
