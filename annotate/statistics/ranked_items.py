"""Agreement where every item is a ranking task of its own: tau or W of each item, averaged over items."""

from collections.abc import Sequence
from itertools import combinations
from typing import Literal

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
from annotate.statistics.kendall_tau import kendall_tau
from annotate.statistics.kendall_w import kendall_w

RankCoefficient = Literal["tau", "w"]


def agreement_of_rankings(
    rankings: Sequence[ArrayLike],
    coefficient: RankCoefficient = "tau",
    *,
    replicates: int = REPLICATES,
    level: float = LEVEL,
    seed: int = 0,
) -> Outcome:
    """The mean over items of Kendall's tau-b (of every two annotators of the item, averaged) or W.

    rankings  one array an item, (responses, annotators) of ranks or scores, NaN where missing; the responses and the
              annotators may be others for every item
    n of the estimate is the number of items on which the coefficient is defined; they are resampled whole. chance is 0
    for tau, the mean of 1/m for W. Where all items agree alike the bounds are Wilson's, one trial an item.
    Undefined without such an item, and for a single one. Raises ValueError for malformed rankings.
    Kendall & Gibbons (1990), Rank Correlation Methods, ch. 3 and 6.
    """
    found = [(value, chance) for table in rankings for value, chance in _of_one_item(table, coefficient)]
    if len(found) < 2:
        return Undefined(_why_too_few(rankings, len(found)))
    values, chances = np.array(found).T
    n, mean, lowest = values.size, float(values.mean()), -1.0 if coefficient == "tau" else 0.0
    kinds, frequency = np.unique(values, return_counts=True)
    drawn = item_weights(frequency, replicates=replicates, seed=seed, widest=kinds.size)
    means = np.concatenate([weights @ kinds / n for weights in drawn])
    bounds = interval_of_replicates(means, mean, n, level=level)
    low, high = bounds or _wilson_between(lowest, mean, n, level)
    return Estimate(value=mean, low=max(lowest, low), high=min(1.0, high), n=n, chance=float(chances.mean()))


def _of_one_item(table: ArrayLike, coefficient: RankCoefficient) -> list[tuple[float, float]]:
    """(value, chance) of the item, or nothing."""
    ranks = np.asarray(table, dtype=float)
    if coefficient == "w":
        outcomes = [kendall_w(ranks, replicates=1)]
    else:
        columns = ranks.T if ranks.ndim == 2 else ranks
        outcomes = [kendall_tau(first, second, replicates=1) for first, second in combinations(columns, 2)]
    defined = [outcome for outcome in outcomes if isinstance(outcome, Estimate)]
    if not defined:
        return []
    return [(float(np.mean([each.value for each in defined])), defined[0].chance or 0.0)]


def _why_too_few(rankings: Sequence[ArrayLike], defined: int) -> Reason:
    if defined == 1:
        return Reason.ONE_ITEM
    if not any(np.isfinite(np.asarray(table, dtype=float)).any() for table in rankings):
        return Reason.NO_JUDGMENTS
    several = any(np.isfinite(_two_dimensional(table)).any(axis=0).sum() >= 2 for table in rankings)
    return Reason.NO_ORDER if several else Reason.NO_OVERLAP


def _two_dimensional(table: ArrayLike) -> Floats:
    return np.asarray(table, dtype=float).reshape(len(np.asarray(table)), -1)


def _wilson_between(lowest: float, mean: float, n: int, level: float) -> tuple[float, float]:
    low, high = wilson_interval((mean - lowest) / (1 - lowest) * n, n, level=level)
    return lowest + low * (1 - lowest), lowest + high * (1 - lowest)
