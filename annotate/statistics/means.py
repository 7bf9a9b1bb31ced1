"""The mean of one number an item, with an interval over the items."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from annotate.statistics.intervals import LEVEL


def mean_interval(values: NDArray[np.floating[Any]], *, level: float = LEVEL) -> tuple[float, float] | None:
    """Student's interval of a mean: x̄ ± t_{n-1} s/√n, from values (n,), one for each independent item (a prompt, not a
    response: what responses to one prompt share is in its value). None for fewer than two items.

    Student (1908), Biometrika 6:1.
    """
    n = values.size
    if n < 2:
        return None
    half_width = float(stdtrit(n - 1, (1 + level) / 2)) * float(values.std(ddof=1)) / np.sqrt(n)
    centre = float(values.mean())
    return float(centre - half_width), float(centre + half_width)
