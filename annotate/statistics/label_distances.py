"""How far apart two labels are: the one thing in which nominal, ordinal, interval and ratio coefficients differ.

Every distance takes the marginals (..., K), how often each label was used, and the labels' values (K,),
and gives squared distances δ², shape (..., K, K) or (K, K), zero on the diagonal.
Krippendorff (2011), Computing Krippendorff's Alpha-Reliability, section C.
"""

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
Metric = Literal["nominal", "ordinal", "interval", "ratio"]


def nominal(marginals: Floats, values: Floats) -> Floats:
    """δ²(c,k) = 1 for c ≠ k."""
    return 1.0 - np.eye(values.size)


def ordinal(marginals: Floats, values: Floats) -> Floats:
    """δ²(c,k) = (Σ_{g=c..k} n_g - (n_c + n_k)/2)²: how many judgments lie between c and k."""
    middle = np.cumsum(marginals, axis=-1) - marginals / 2
    return (middle[..., :, None] - middle[..., None, :]) ** 2


def interval(marginals: Floats, values: Floats) -> Floats:
    """δ²(c,k) = (v_c - v_k)²."""
    return (values[:, None] - values[None, :]) ** 2


def ratio(marginals: Floats, values: Floats) -> Floats:
    """δ²(c,k) = ((v_c - v_k)/(v_c + v_k))², 0 for two zeros. Raises ValueError for a negative value."""
    if (values < 0).any():
        raise ValueError(f"Ratio data are zero or more, got the value {values.min()}.")
    total = values[:, None] + values[None, :]
    return ((values[:, None] - values[None, :]) / np.where(total == 0, 1.0, total)) ** 2


DISTANCES: dict[Metric, Callable[[Floats, Floats], Floats]] = {
    "nominal": nominal,
    "ordinal": ordinal,
    "interval": interval,
    "ratio": ratio,
}


def label_values(categories: int, values: Sequence[float] | None) -> Floats:
    """The numbers (K,) that the labels stand for. Raises ValueError unless there is one finite value a label."""
    numbers = np.arange(categories, dtype=float) if values is None else np.asarray(values, dtype=float)
    if numbers.shape != (categories,) or not np.isfinite(numbers).all():
        raise ValueError(f"There must be one finite value for each of the {categories} labels, got {values}.")
    return numbers
