"""How far agreement moved between two states, such as two versions of a guideline."""

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from annotate.statistics.chance_corrected import why_undefined
from annotate.statistics.counts import checked_counts
from annotate.statistics.estimate import Estimate, Outcome, Reason, Undefined
from annotate.statistics.intervals import LEVEL, REPLICATES, Floats, PooledStatistic, bootstrap_interval
from annotate.statistics.krippendorff_alpha import pooled_alpha
from annotate.statistics.label_distances import label_values
from annotate.statistics.raw_agreement import pooled_raw_agreement

Coefficient = Literal["raw_agreement", "krippendorff_alpha"]
_WIDEST = 2.0


def agreement_difference(
    before: ArrayLike,
    after: ArrayLike,
    coefficient: Coefficient = "krippendorff_alpha",
    *,
    replicates: int = REPLICATES,
    level: float = LEVEL,
    seed: int = 0,
) -> Outcome:
    """coefficient(after) - coefficient(before), with a bootstrap interval over the items of both.

    before, after: votes (items, K) of the same items, row by row; all zeros where an item was not judged in a state. An
    item is drawn with its votes of both states (cluster bootstrap), so that the same comparisons judged twice make the
    interval as narrow as they should. Ties are a class, alpha is nominal; n: items with two votes in either state.
    Where resampling shows no spread (complete agreement in both), the interval is the whole range, -2 to 2 or -1 to 1.
    Undefined where either has no coefficient. Raises ValueError for malformed counts or unequal shapes.
    Field & Welsh (2007), JRSS-B 69:369 (clusters).
    """
    states = [_pairable(checked_counts(counts)) for counts in (before, after)]
    if states[0].shape != states[1].shape:
        raise ValueError(f"Both states must have the same items, got {states[0].shape} and {states[1].shape}.")
    for counts in states:
        reason = why_undefined(counts)
        if reason is not None and not (coefficient == "raw_agreement" and reason == Reason.ONE_CATEGORY):
            return Undefined(reason)
    categories = states[0].shape[1]
    both = np.concatenate(states, axis=1)
    both = both[both.any(axis=1)]
    difference = _difference(coefficient, categories)
    value = difference.of(both)
    bounds = bootstrap_interval(both, difference, replicates=replicates, level=level, seed=seed)
    widest = _WIDEST if coefficient == "krippendorff_alpha" else 1.0
    low, high = bounds or (-widest, widest)
    return Estimate(value=value, low=low, high=high, n=both.shape[0])


def _pairable(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.where(counts.sum(axis=1, keepdims=True) >= 2, counts, 0)


def _difference(coefficient: Coefficient, categories: int) -> PooledStatistic:
    one = (
        pooled_alpha("nominal", label_values(categories, None))
        if coefficient == "krippendorff_alpha"
        else pooled_raw_agreement(categories, "ties_as_class")
    )

    def terms(rows: NDArray[np.int64]) -> Floats:
        return np.concatenate([one.terms(rows[:, :categories]), one.terms(rows[:, categories:])], axis=1)

    def value(sums: Floats) -> Floats:
        half = sums.shape[-1] // 2
        with np.errstate(invalid="ignore", divide="ignore"):
            return one.value(sums[..., half:]) - one.value(sums[..., :half])

    return PooledStatistic(terms=terms, value=value)
