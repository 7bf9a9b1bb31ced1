"""Figures with their uncertainty: {"value", "low", "high", "n"}, the 95 % interval beside every estimate."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy
from scipy.stats import t as student

ENOUGH = 5  # below this an interval spans nearly everything, and a figure would only mislead
Z = 1.959963984540054


def proportion(successes: float, n: int) -> dict[str, Any]:
    """Wilson's score interval (Wilson 1927); a tie may count half."""
    if n < ENOUGH:
        return too_few(n)
    share = successes / n
    middle = (share + Z**2 / (2 * n)) / (1 + Z**2 / n)
    half = Z / (1 + Z**2 / n) * math.sqrt(share * (1 - share) / n + Z**2 / (4 * n**2))
    return {"value": share, "low": max(middle - half, 0.0), "high": min(middle + half, 1.0), "n": n}


def mean(values: Sequence[float]) -> dict[str, Any]:
    """Student's t interval of a mean of independent values."""
    n = len(values)
    if n < ENOUGH:
        return too_few(n)
    numbers = numpy.asarray(values, dtype=float)
    half = float(student.ppf(0.975, n - 1) * numbers.std(ddof=1) / math.sqrt(n))
    value = float(numbers.mean())
    return {"value": value, "low": value - half, "high": value + half, "n": n}


def too_few(n: int) -> dict[str, Any]:
    """No figure, and why."""
    reason = f"Only {n} held-out pairs: at least {ENOUGH} are needed to say anything."
    return {"value": None, "low": None, "high": None, "n": n, "reason": reason}
