"""Coefficients that average the agreement within items: Fleiss, Gwet and Brennan-Prediger differ in chance only."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from annotate.statistics.agreement_weights import Weights, weight_matrix
from annotate.statistics.chance_corrected import Resampling, corrected_outcome, why_undefined
from annotate.statistics.counts import checked_counts, distinct_rows
from annotate.statistics.estimate import Outcome, Undefined
from annotate.statistics.label_distances import Floats, label_values

Chance = Callable[[Floats, Floats], Floats]
"""Shares of the labels (..., q) and weights (q, q) -> chance agreement (...)."""


def coefficient_of_items(
    counts: ArrayLike,
    chance: Chance,
    *,
    weights: Weights = "identity",
    values: Sequence[float] | None = None,
    resampling: Resampling,
) -> Outcome:
    """(p_a - p_e) / (1 - p_e) from votes (items, K), missing judgments allowed, as Gwet generalises it.

        p_a = 1/n' Σ_i Σ_k r_ik (r*_ik - 1) / (r_i (r_i - 1))     the n' items with r_i ≥ 2;  r*_ik = Σ_l w_kl r_il
        π_k = 1/n  Σ_i r_ik / r_i                                 all n items with a judgment

    The labels are the q that somebody used. n of the estimate is n'. Items are resampled, those with one judgment too.
    values (K,): the numbers that the labels stand for, their codes if not given.
    Raises ValueError for malformed counts or values.
    Gwet (2014), Handbook of Inter-Rater Reliability, 4th ed., ch. 2-3.
    """
    rows = checked_counts(counts)
    reason = why_undefined(rows)
    if reason is not None:
        return Undefined(reason)
    used = rows.any(axis=0)
    matrix = weight_matrix(weights, label_values(rows.shape[1], values)[used])
    kinds, frequency = distinct_rows(rows[rows.any(axis=1)][:, used])
    terms = _terms(kinds, matrix)

    def shares(sums: Floats) -> tuple[Floats, Floats]:
        pairable = sums[..., 1]
        observed = np.divide(sums[..., 0], pairable, out=np.full_like(pairable, np.nan), where=pairable > 0)
        return observed, chance(sums[..., 3:] / sums[..., 2:3], matrix)

    return corrected_outcome(terms, frequency, shares, int((rows.sum(axis=1) >= 2).sum()), resampling)


def _terms(kinds: NDArray[np.int64], matrix: Floats) -> Floats:
    """Per item: agreement of its pairs, 1 if it has any, 1, and the shares of its labels; (kinds, 3 + q)."""
    votes = kinds.astype(float)
    total = votes.sum(axis=1)
    pairs = total * (total - 1)
    agreeing = ((votes @ matrix) * votes).sum(axis=1) - total
    share = np.divide(agreeing, pairs, out=np.zeros_like(total), where=pairs > 0)
    return np.column_stack([share, pairs > 0, np.ones_like(total), votes / total[:, None]])
