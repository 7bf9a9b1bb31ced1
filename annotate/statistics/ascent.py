"""Climbing a smooth log-posterior by its gradient (L-BFGS), with a trace that a report can show."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module

import numpy as np

from annotate.statistics.truth import Floats

MAX_STEPS = 2000
_TOLERANCE = 1e-12
_FLAT = 1e-4
_CUT_SHORT = 1  # scipy's status where steps or evaluations were used up


@dataclass(frozen=True)
class Ascent:
    """The point (q,), whether it is a maximum to the tolerance, and the objective after each step; it never falls."""

    point: Floats
    converged: bool
    trace: Floats


def ascend(objective: Callable[[Floats], tuple[float, Floats]], start: Floats, curvature: Floats) -> Ascent:
    """A local maximum of `objective`: point (q,) -> value, gradient (q,).

    curvature  (q,) rough second derivatives, above 0: what one annotator, one item and the whole crowd know of a
               parameter differs by orders of magnitude, and steps are measured in standard errors instead

    It ends when no gradient is above 1e-4 standard errors, or a step gains less than 1e-12 of the value.
    Nocedal & Wright (2006), Numerical Optimization, ch. 7.
    """
    trace: list[float] = []
    error = 1 / np.sqrt(curvature)

    def negative(scaled: Floats) -> tuple[float, Floats]:
        value, gradient = objective(scaled * error)
        return -value, -gradient * error

    # Loaded when it is asked: scipy.optimize is 20 MB, and the web process imports this room for every page.
    found = import_module("scipy.optimize").minimize(
        negative,
        start / error,
        jac=True,
        method="L-BFGS-B",
        callback=lambda intermediate_result: trace.append(-float(intermediate_result.fun)),
        options={"maxiter": MAX_STEPS, "maxfun": 2 * MAX_STEPS, "ftol": _TOLERANCE, "gtol": _FLAT},
    )
    # A line search that can gain nothing more in double precision ends with an error of scipy's, and is at a maximum.
    return Ascent(found.x * error, found.status != _CUT_SHORT, np.array(trace or [-float(found.fun)]))
