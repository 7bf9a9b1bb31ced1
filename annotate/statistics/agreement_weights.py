"""How much of an agreement two different labels are: what makes a kappa or an AC weighted."""

from collections.abc import Callable
from typing import Literal

import numpy as np

from annotate.statistics.label_distances import Floats

Weights = Literal["identity", "linear", "quadratic", "ordinal", "ratio"]


def identity(values: Floats) -> Floats:
    """w(c,k) = 1 for c = k, else 0: the unweighted coefficient."""
    return np.eye(values.size)


def linear(values: Floats) -> Floats:
    """w(c,k) = 1 - |v_c - v_k| / (v_max - v_min)."""
    return _agreement(_apart(values))


def quadratic(values: Floats) -> Floats:
    """w(c,k) = 1 - ((v_c - v_k) / (v_max - v_min))²."""
    return _agreement(_apart(values) ** 2)


def ordinal(values: Floats) -> Floats:
    """w(c,k) = 1 - C(r+1, 2) / C(q, 2), r the ranks between the labels and q their number: only the order counts."""
    apart = _apart(np.argsort(np.argsort(values)).astype(float))
    return _agreement(apart * (apart + 1) / 2)


def ratio(values: Floats) -> Floats:
    """w(c,k) = 1 - ((v_c - v_k) / (v_c + v_k))² / the largest such. Raises ValueError for a negative value."""
    if (values < 0).any():
        raise ValueError(f"Ratio data are zero or more, got the value {values.min()}.")
    total = values[:, None] + values[None, :]
    return _agreement((_apart(values) / np.where(total == 0, 1.0, total)) ** 2)


WEIGHTS: dict[Weights, Callable[[Floats], Floats]] = {
    "identity": identity,
    "linear": linear,
    "quadratic": quadratic,
    "ordinal": ordinal,
    "ratio": ratio,
}


def weight_matrix(weights: Weights, values: Floats) -> Floats:
    """Symmetric weights (K, K), 1 on the diagonal, for labels that stand for `values` (K,), all different.

    Raises ValueError for an unknown name. Gwet (2014), Handbook of Inter-Rater Reliability, 4th ed., ch. 3;
    Cohen (1968), Psychological Bulletin 70:213.
    """
    if weights not in WEIGHTS:
        raise ValueError(f"Unknown weights: {weights!r}; choose one of {', '.join(WEIGHTS)}.")
    return WEIGHTS[weights](values)


def _apart(values: Floats) -> Floats:
    return np.abs(values[:, None] - values[None, :])


def _agreement(distance: Floats) -> Floats:
    largest = distance.max(initial=0.0)
    return 1 - distance / (largest if largest > 0 else 1.0)
