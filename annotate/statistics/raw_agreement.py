"""Raw agreement: the share of pairs of judgments of one item that agree, under three readings of a tie."""

from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from annotate.statistics.counts import checked_counts
from annotate.statistics.estimate import Estimate, Outcome, Reason, Undefined
from annotate.statistics.intervals import (
    LEVEL,
    REPLICATES,
    Floats,
    PooledStatistic,
    bootstrap_interval,
    wilson_interval,
)
from annotate.statistics.judgments import CHOICES, TIE

TieRule = Literal["ties_as_class", "ties_excluded", "ties_half"]
TIE_RULES: tuple[TieRule, ...] = get_args(TieRule)


def raw_agreement(
    counts: ArrayLike,
    ties: TieRule = "ties_as_class",
    *,
    replicates: int = REPLICATES,
    level: float = LEVEL,
    seed: int = 0,
) -> Outcome:
    """Pairwise raw agreement pooled over items: every pair of judgments of the same item counts once.

        A = Σ_u Σ_{pairs i<j of item u} credit(label_i, label_j) / Σ_u (eligible pairs of item u)

    ties_as_class   credit 1 for equal labels, a tie being a label like the others; any number of categories
    ties_excluded   tie judgments are left out first
    ties_half       a tie against a or b earns one half, two ties earn 1

    counts: (items, K) votes; K = 3 in the order a, tie, b for the last two rules.
    n of the estimate is the number of items with an eligible pair; the interval resamples them, and where
    they are all alike it is Wilson's with one trial an item. chance is the credit of two judgments drawn from all
    items: Σ_k π_k² with ties as a class, π the shares of the labels.
    Undefined when there is no eligible pair, or when all of them lie on one item. No correction for chance.
    Raises ValueError for malformed counts or an unknown rule.
    Pooled P_A as in Gwet (2014), Handbook of Inter-Rater Reliability, 4th ed., ch. 2 (there averaged over items).
    """
    rows = checked_counts(counts)
    statistic = pooled_raw_agreement(rows.shape[1], ties)
    eligible = rows[statistic.terms(rows)[:, 1] > 0]
    if eligible.shape[0] < 2:
        return Undefined(_why_undefined(rows, eligible.shape[0]))
    value, n = statistic.of(eligible), eligible.shape[0]
    bounds = bootstrap_interval(eligible, statistic, replicates=replicates, level=level, seed=seed)
    low, high = bounds or wilson_interval(value * n, n, level=level)
    return Estimate(value=value, low=low, high=high, n=n, chance=_by_chance(eligible, ties))


def _why_undefined(rows: NDArray[np.int64], eligible_items: int) -> Reason:
    if eligible_items == 1:
        return Reason.ONE_ITEM
    if (rows.sum(axis=1) >= 2).any():
        return Reason.NO_DECIDED_PAIR
    return Reason.NO_OVERLAP if rows.any() else Reason.NO_JUDGMENTS


def _by_chance(eligible: NDArray[np.int64], ties: TieRule) -> float:
    credit, counted = _credit_and_counted(eligible.shape[1], ties)
    shares = eligible.sum(axis=0) / eligible.sum()
    return float((shares @ credit @ shares) / (shares @ counted @ shares))


def pooled_raw_agreement(categories: int, ties: TieRule) -> PooledStatistic:
    """Raw agreement as a statistic of sums over items. Raises ValueError as `raw_agreement` does."""
    credit, counted = _credit_and_counted(categories, ties)

    def terms(rows: NDArray[np.int64]) -> Floats:
        return np.stack([_pair_sums(rows, credit), _pair_sums(rows, counted)], axis=1)

    return PooledStatistic(terms=terms, value=lambda sums: sums[..., 0] / sums[..., 1])


def _credit_and_counted(categories: int, ties: TieRule) -> tuple[Floats, Floats]:
    """What a pair of labels earns and whether it counts, two symmetric (K, K) matrices."""
    if ties not in TIE_RULES:
        raise ValueError(f"Unknown rule for ties: {ties!r}; choose one of {', '.join(TIE_RULES)}.")
    if ties != "ties_as_class" and categories != CHOICES:
        raise ValueError(f"The rule {ties} is for the choices a, tie, b; the counts have {categories} categories.")
    credit, counted = np.eye(categories), np.ones((categories, categories))
    if ties == "ties_half":
        credit[TIE, :] = credit[:, TIE] = 0.5
        credit[TIE, TIE] = 1.0
    if ties == "ties_excluded":
        for matrix in (credit, counted):
            matrix[TIE, :] = matrix[:, TIE] = 0.0
    return credit, counted


def _pair_sums(rows: NDArray[np.int64], weight: Floats) -> Floats:
    """Σ over unordered pairs of judgments of each item of weight[label, label], shape (items,)."""
    votes = rows.astype(float)
    return (((votes @ weight) * votes).sum(axis=1) - votes @ np.diag(weight)) / 2
