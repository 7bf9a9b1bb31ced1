"""How many cores this process may use."""

from __future__ import annotations

import os


def number() -> int:
    """Those that it is bound to, where the system can say (Linux); elsewhere all that the machine has."""
    bound = getattr(os, "sched_getaffinity", None)
    return len(bound(0)) if bound else os.cpu_count() or 1
