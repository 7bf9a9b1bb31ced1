"""Kendall's tau of two rankings: concordant less discordant pairs of items, ties left out of the room."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

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

_CELLS_AT_ONCE = 2**22


def kendall_tau(
    first: ArrayLike, second: ArrayLike, *, replicates: int = REPLICATES, level: float = LEVEL, seed: int = 0
) -> Outcome:
    """Tau-b of the ranks or scores that two annotators gave to the same items, with a bootstrap interval over items.

        τ_b = Σ_ij s_ij t_ij / √(Σ_ij s²_ij · Σ_ij t²_ij)    s, t: sign of the difference of items i and j

    first, second  (items,), NaN where missing: such items are left out
    n of the estimate is the number of items that both ranked, chance 0. The bootstrap draws items with the sums over
    pairs linearised (2 Σ_i w_i c_i - Σ c_i, c_i the sum over the pairs of item i): a pair of an item with itself,
    which the plain bootstrap makes and then calls a tie, never arises. Where all replicates agree the bounds are
    Wilson's, one trial an item, from -1 to 1.
    Undefined without two common items or where one of the two put nothing in order. Time grows with n².
    Raises ValueError for unequal lengths. Kendall (1945), Biometrika 33:239; Kendall & Gibbons (1990), Rank
    Correlation Methods, ch. 3 and 5.
    """
    table = checked_ratings(np.stack([np.asarray(first, dtype=float), np.asarray(second, dtype=float)], axis=1))
    complete = complete_items(table)
    reason = why_too_few(table, complete)
    if reason is not None:
        return Undefined(reason)
    if (complete == complete[0]).all(axis=0).any():
        return Undefined(Reason.NO_ORDER)
    kinds, frequency = np.unique(complete, axis=0, return_counts=True)
    terms, n = _terms(kinds, frequency), complete.shape[0]
    value = float(_tau(frequency @ terms))
    drawn = item_weights(frequency, replicates=replicates, seed=seed, widest=frequency.size)
    values = np.concatenate([_tau(weights @ terms) for weights in drawn])
    bounds = interval_of_replicates(values, value, n, level=level)
    low, high = bounds or tuple(2 * bound - 1 for bound in wilson_interval((1 + value) / 2 * n, n, level=level))
    return Estimate(value=value, low=max(-1.0, low), high=min(1.0, high), n=n, chance=0.0)


def _tau(sums: Floats) -> Floats:
    room = sums[..., 1] * sums[..., 2]
    positive = (sums[..., 1] > 0) & (sums[..., 2] > 0)
    share = np.divide(sums[..., 0], np.sqrt(np.abs(room)), out=np.full_like(room, np.nan), where=positive)
    return np.clip(share, -1.0, 1.0)


def _terms(kinds: Floats, frequency: NDArray[np.int64]) -> Floats:
    """2 c_i - mean c for the three sums over pairs (s·t, s², t²), shape (kinds, 3)."""
    own = np.concatenate(list(_pair_sums(kinds, frequency)))
    return 2 * own - frequency @ own / frequency.sum()


def _pair_sums(kinds: Floats, frequency: NDArray[np.int64]) -> Iterator[Floats]:
    at_once = max(1, _CELLS_AT_ONCE // kinds.shape[0])
    for start in range(0, kinds.shape[0], at_once):
        signs = np.sign(kinds[start : start + at_once, None, :] - kinds[None, :, :])
        s, t = signs[..., 0], signs[..., 1]
        yield np.stack([(s * t) @ frequency, (s * s) @ frequency, (t * t) @ frequency], axis=1)
