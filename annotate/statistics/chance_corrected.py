"""What kappa, pi and AC share: observed agreement, less chance agreement, as a share of what is left."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from annotate.statistics.estimate import Estimate, Outcome, Reason, Undefined
from annotate.statistics.intervals import (
    LEVEL,
    REPLICATES,
    Floats,
    interval_of_replicates,
    item_weights,
    wilson_interval,
)

_ROUNDING = 1e-12


@dataclass(frozen=True)
class Resampling:
    """How an interval is made: bootstrap replicates, confidence level, seed of the draw."""

    replicates: int = REPLICATES
    level: float = LEVEL
    seed: int = 0


def corrected(observed: Floats, chance: Floats) -> Floats:
    """(observed - chance) / (1 - chance); NaN where chance agreement is complete (or either is not defined)."""
    room = 1 - chance
    return np.divide(observed - chance, room, out=np.full_like(room, np.nan), where=room > _ROUNDING)


def corrected_outcome(
    terms: Floats,
    frequency: NDArray[np.int64],
    shares: Callable[[Floats], tuple[Floats, Floats]],
    n: int,
    resampling: Resampling,
) -> Outcome:
    """The coefficient of all items with its bootstrap interval over items.

    terms      (kinds, p) contributions of one item of each kind to the sums
    frequency  (kinds,) items of each kind
    shares     (..., p) sums -> observed and chance agreement, (...) each
    n          items with an observed agreement

    Where the bootstrap is silent, the bounds are Wilson's for the observed agreement, one trial an item and the
    chance agreement taken as known: copies of one annotator agree completely, but not beyond doubt.
    """
    observed, chance = shares((frequency @ terms)[None])
    value = float(corrected(observed, chance)[0])
    if not np.isfinite(value):
        return Undefined(Reason.ONE_CATEGORY)
    drawn = item_weights(frequency, replicates=resampling.replicates, seed=resampling.seed, widest=max(terms.shape))
    values = np.concatenate([corrected(*shares(weights @ terms)) for weights in drawn])
    bounds = interval_of_replicates(values, value, int(frequency.sum()), level=resampling.level)
    low, high = bounds or bounds_without_spread(float(observed[0]), float(chance[0]), n, resampling.level)
    return Estimate(value=value, low=low, high=high, n=n, chance=float(chance[0]))


def bounds_without_spread(observed: float, chance: float, n: int, level: float) -> tuple[float, float]:
    """Wilson's bounds of the observed agreement of n items, corrected for a chance agreement taken as known."""
    low, high = wilson_interval(min(1.0, max(0.0, observed)) * n, n, level=level)
    return max(-1.0, 1 - (1 - low) / (1 - chance)), min(1.0, 1 - (1 - high) / (1 - chance))


def why_undefined(counts: NDArray[np.int64]) -> Reason | None:
    """Why votes (items, K) allow no coefficient beyond chance: None where they do."""
    paired = counts[counts.sum(axis=1) >= 2]
    if not paired.shape[0]:
        return Reason.NO_OVERLAP if counts.any() else Reason.NO_JUDGMENTS
    if np.count_nonzero(paired.sum(axis=0)) < 2:
        return Reason.ONE_CATEGORY
    return Reason.ONE_ITEM if paired.shape[0] == 1 else None
