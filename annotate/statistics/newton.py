"""Newton's method for a concave log-likelihood: steps are halved until it rises."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.linalg import LinAlgError, cho_factor, cho_solve

from annotate.statistics.truth import Floats

MAX_STEPS = 100
_RISE = 1e-12
_HALVINGS = 40

Local = tuple[float, Floats, Floats]


@dataclass(frozen=True)
class Summit:
    """Where it ended.

    point        (q,)
    information  (q, q) minus the matrix of second derivatives there, positive definite where `converged`
    trace        (steps,) the log-likelihood after each step; it never falls
    """

    point: Floats
    information: Floats
    converged: bool
    trace: Floats


def climb_to_summit(look: Callable[[Floats], Local], start: Floats) -> Summit:
    """The maximum of a concave function; look(point) -> value, gradient (q,), second derivatives (q, q).

    Converged when the gradient promises less than 1e-12 of the value. `converged` is False where the ground is
    flat in some direction (a parameter that nothing identifies) or rises for ever (separation).
    """
    point, (value, gradient, bend) = start, look(start)
    trace: list[float] = []
    while len(trace) < MAX_STEPS:
        step = _step(gradient, -bend)
        if step is None:
            return Summit(point, -bend, False, np.array(trace or [value]))
        promise = float(gradient @ step)
        point, (value, gradient, bend) = _highest_along(look, point, step, (value, gradient, bend))
        trace.append(value)
        if promise < _RISE * (1 + abs(value)):
            return Summit(point, -bend, True, np.array(trace))
    return Summit(point, -bend, False, np.array(trace))


def _step(gradient: Floats, information: Floats) -> Floats | None:
    """Newton's step, or None where the information is singular to double precision."""
    scale = np.sqrt(np.maximum(np.diag(information), np.finfo(float).tiny))
    try:
        factor = cho_factor(information / np.outer(scale, scale))
    except (LinAlgError, ValueError):
        return None
    if np.abs(np.diag(factor[0])).min() < 1e-7:
        return None
    return cho_solve(factor, gradient / scale) / scale


def _highest_along(look: Callable[[Floats], Local], point: Floats, step: Floats, here: Local) -> tuple[Floats, Local]:
    for halving in range(_HALVINGS):
        further = point + step / 2**halving
        there = look(further)
        if np.isfinite(there[0]) and there[0] >= here[0]:
            return further, there
    return point, here
