"""Kendall's W: how far many annotators agree on the order of the same items."""

import numpy as np
from numpy.typing import ArrayLike

from annotate.statistics.estimate import Estimate, Outcome, Reason, Undefined
from annotate.statistics.intervals import (
    LEVEL,
    REPLICATES,
    Floats,
    interval_of_replicates,
    item_weights,
    wilson_interval,
)
from annotate.statistics.ratings import checked_ratings, complete_items, why_too_few


def kendall_w(ratings: ArrayLike, *, replicates: int = REPLICATES, level: float = LEVEL, seed: int = 0) -> Outcome:
    """The coefficient of concordance, corrected for ties, with a bootstrap interval over items.

        W = Σ_i (R_i - R̄)² / (m Σ_j Σ_i (r_ij - r̄)²)    r_ij: midrank of item i by annotator j, R_i = Σ_j r_ij

    which is 12 Σ (R_i - R̄)² / (m² (n³ - n) - m Σ_j T_j), T_j = Σ (t³ - t) over the ties of annotator j.

    ratings (items, m) ranks or scores (they are ranked here), NaN where missing: only items that all ranked count.
    n of the estimate is their number; chance is 1/m, what unrelated rankings give on average. Each replicate ranks
    its own items anew. Where all replicates agree the bounds are Wilson's, one trial an item.
    Undefined without two complete items, for one annotator, and where fewer than two put anything in order.
    Raises ValueError for a wrong shape.
    Kendall & Babington Smith (1939), Annals of Mathematical Statistics 10:275; Siegel & Castellan (1988),
    Nonparametric Statistics for the Behavioral Sciences, 2nd ed., eq. 9.15-9.18.
    """
    table = checked_ratings(ratings)
    complete = complete_items(table)
    reason = why_too_few(table, complete)
    if reason is not None:
        return Undefined(reason)
    if (complete != complete[0]).any(axis=0).sum() < 2:
        return Undefined(Reason.NO_ORDER)
    kinds, frequency = np.unique(complete, axis=0, return_counts=True)
    n = complete.shape[0]
    value = float(_concordance(kinds, frequency[None].astype(float))[0])
    drawn = item_weights(frequency, replicates=replicates, seed=seed, widest=kinds.size)
    values = np.concatenate([_concordance(kinds, weights) for weights in drawn])
    low, high = interval_of_replicates(values, value, n, level=level) or wilson_interval(value * n, n, level=level)
    return Estimate(value=value, low=low, high=high, n=n, chance=1 / complete.shape[1])


def midranks(scores: Floats, weights: Floats) -> Floats:
    """Ranks of items that occur `weights` times, ties sharing the mean rank: (items,), (..., items) -> (..., items)."""
    order = np.argsort(scores, kind="stable")
    ordered = scores[order]
    upto = np.cumsum(weights[..., order], axis=-1)
    upto = np.concatenate([np.zeros((*upto.shape[:-1], 1)), upto], axis=-1)
    first, last = np.searchsorted(ordered, ordered, "left"), np.searchsorted(ordered, ordered, "right")
    ranks = np.empty_like(weights, dtype=float)
    ranks[..., order] = (upto[..., first] + upto[..., last] + 1) / 2
    return ranks


def _concordance(kinds: Floats, weights: Floats) -> Floats:
    """W of each row of weights (replicates, kinds) over kinds (kinds, m); NaN where nothing is in order."""
    middle = (weights.sum(axis=-1, keepdims=True) + 1) / 2
    total, spread = np.zeros_like(weights), np.zeros(weights.shape[0])
    for scores in kinds.T:
        deviation = midranks(scores, weights) - middle
        total += deviation
        spread += (weights * deviation**2).sum(axis=-1)
    agreed = (weights * total**2).sum(axis=-1)
    return np.minimum(
        1.0, np.divide(agreed, kinds.shape[1] * spread, out=np.full_like(spread, np.nan), where=spread > 0)
    )
