"""Studentised bootstrap on Fisher's scale: for correlations, whose spread changes with their value."""

import numpy as np
from numpy.typing import NDArray

from annotate.statistics.chance_corrected import Resampling
from annotate.statistics.intervals import Floats, PooledStatistic, item_weights

_ROUNDING = 1e-12
_STEP = 1e-3
_LARGEST = 1 - 1e-9


def studentised_interval(
    terms: Floats, frequency: NDArray[np.int64], statistic: PooledStatistic, resampling: Resampling
) -> tuple[float, float] | None:
    """Bounds of a correlation θ of sums over items, from the bootstrap of its t value over items.

        t* = (atanh θ* - atanh θ) / se*        each replicate with its own standard error
        bounds = tanh(atanh θ - se t*_{1-α/2}), tanh(atanh θ - se t*_{α/2})
        se² = n/(n-1) Σ_u w_u (I_u - Ī)²,  I_u = Σ_p ∂ atanh θ/∂ sum_p · term_up    linearised

    terms (kinds, p); frequency (kinds,). The percentile interval is too narrow for variances of few items: over five
    kinds of simulated ratings it covered 88 to 93 % at 20 items (widened and corrected for bias: 90 to 95), this one
    92 to 96 %.
    None where the correlation is complete, the replicates have no spread or too many have no value.
    Efron & Tibshirani (1993), An Introduction to the Bootstrap, ch. 12.5; Fisher (1921), Metron 1:3.
    """
    steps = _STEP * np.sqrt(np.maximum(frequency @ terms**2 / frequency.sum(), _ROUNDING))
    centre, error = _with_error(frequency[None].astype(float), terms, statistic, steps)
    if not error[0] > _ROUNDING or abs(centre[0]) >= np.arctanh(_LARGEST):
        return None
    drawn = item_weights(frequency, replicates=resampling.replicates, seed=resampling.seed, widest=max(terms.shape))
    values, errors = np.hstack([_with_error(weights, terms, statistic, steps) for weights in drawn])
    defined = np.isfinite(values) & (errors > _ROUNDING)
    if (~defined).mean() > (1 - resampling.level) / 2:
        return None
    tails = [(1 + resampling.level) / 2, (1 - resampling.level) / 2]
    t = np.quantile((values[defined] - centre[0]) / errors[defined], tails)
    low, high = np.tanh(centre[0] - error[0] * t)
    return float(low), float(high)


def _with_error(weights: Floats, terms: Floats, statistic: PooledStatistic, steps: Floats) -> Floats:
    """atanh θ and its standard error for each row of weights (replicates, kinds): (2, replicates)."""
    sums = weights @ terms
    theta = np.clip(statistic.value(sums), -_LARGEST, _LARGEST)
    slopes = [(statistic.value(sums + step) - statistic.value(sums - step)) for step in np.diag(steps)]
    gradient = np.stack(slopes, axis=-1) / (2 * steps)
    influence = gradient @ terms.T
    n = weights.sum(axis=-1)
    mean = (weights * influence).sum(axis=-1) / n
    variance = (weights * (influence - mean[:, None]) ** 2).sum(axis=-1) * n / (n - 1)
    return np.stack([np.arctanh(theta), np.sqrt(variance) / (1 - theta**2)])
