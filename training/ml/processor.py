"""Whose processor this is: what is computed fastest in which way differs between makers, and no measurement decides it,
so that a run that is resumed on the same machine computes as it began."""

from __future__ import annotations

from functools import cache
from pathlib import Path

AMD, INTEL = "AuthenticAMD", "GenuineIntel"


@cache
def maker() -> str:
    """As Linux tells it; "" elsewhere."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("vendor_id")), "")
