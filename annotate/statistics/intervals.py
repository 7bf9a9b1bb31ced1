"""Confidence intervals: Wilson's for a proportion, and the bootstrap over items for everything else."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri, stdtrit

from annotate.statistics.counts import distinct_rows

Floats = NDArray[np.floating[Any]]

LEVEL = 0.95
REPLICATES = 1000
FEWEST_CLUSTERS = 5
_CELLS_AT_ONCE = 2**22
_ROUNDING = 1e-12
_RAREST_RANK = 0.01


@dataclass(frozen=True)
class PooledStatistic:
    """A statistic of sums over items: value(sum over items u of terms(row u)).

    terms  (items, categories) votes -> (items, p) contributions of each item
    value  (..., p) sums -> (...) statistic, NaN where it is not defined
    """

    terms: Callable[[NDArray[np.int64]], Floats]
    value: Callable[[Floats], Floats]

    def of(self, counts: NDArray[np.int64]) -> float:
        """The statistic of all items, from counts of shape (items, categories)."""
        rows, frequency = distinct_rows(counts)
        return float(self.value(frequency @ self.terms(rows)))


def wilson_interval(successes: float, n: float, *, level: float = LEVEL) -> tuple[float, float]:
    """Wilson's score interval for a proportion p = successes / n.

        (p + z²/2n ± z √(p(1-p)/n + z²/4n²)) / (1 + z²/n)

    Honest near 0 and 1 and for small n, where p ± z·se is not. `successes` may be fractional (half credit).
    Raises ValueError for n <= 0 or successes outside 0 .. n.
    Wilson (1927), JASA 22:209; Brown, Cai & DasGupta (2001), Statistical Science 16:101.
    """
    if n <= 0 or not 0 <= successes <= n:
        raise ValueError(f"A proportion needs 0 <= successes <= n and n > 0, got {successes} of {n}.")
    z2 = float(ndtri((1 + level) / 2)) ** 2
    p = successes / n
    centre = p + z2 / (2 * n)
    half_width = np.sqrt(z2 * (p * (1 - p) / n + z2 / (4 * n * n)))
    low, high = (centre - half_width) / (1 + z2 / n), (centre + half_width) / (1 + z2 / n)
    # At p = 0 and p = 1 the bound is exactly p; rounding must not leave it on the wrong side.
    return max(0.0, min(float(low), p)), min(1.0, max(float(high), p))


def clustered_wilson_interval(
    hits: Floats, clusters: NDArray[np.int64], *, level: float = LEVEL
) -> tuple[float, float]:
    """Wilson's interval of the mean of hits, each 0 to 1, (n,), that hang together in clusters (n,).

    For the number of independent hits that would be as uncertain: n by the design effect, the linearised variance over
    the m clusters by p(1-p)/n, at least 1, and by the square of t's quantile over the normal one; where all are hits or
    none, so that no spread is seen, n by the mean size of the cluster of a hit. Of fewer than FEWEST_CLUSTERS each is
    one hit: too few for a variance. Where every hit is a cluster of its own, Wilson's with n.
    Kish (1965), Survey Sampling, section 8.2; Korn & Graubard (1998), Survey Methodology 24:193.
    """
    n, p = hits.size, min(max(float(hits.mean()), 0.0), 1.0)
    _, member = np.unique(clusters, return_inverse=True)
    sizes = np.bincount(member)
    m = sizes.size
    if m == n:
        return wilson_interval(p * n, n, level=level)
    if m < FEWEST_CLUSTERS:
        return wilson_interval(p * m, m, level=level)
    binomial = p * (1 - p) / n
    variance = float(((np.bincount(member, hits) - p * sizes) ** 2).sum()) * m / (m - 1) / n**2
    effect = max(variance / binomial, 1.0) if binomial > 0 else float((sizes**2).sum() / n)
    narrow, wide = float(ndtri((1 + level) / 2)), float(stdtrit(m - 1, (1 + level) / 2))
    independent = n / effect * (narrow / wide) ** 2
    return wilson_interval(p * independent, independent, level=level)


def bootstrap_interval(
    counts: NDArray[np.int64],
    statistic: PooledStatistic,
    *,
    replicates: int = REPLICATES,
    level: float = LEVEL,
    seed: int = 0,
) -> tuple[float, float] | None:
    """Bias-corrected percentile bootstrap that resamples items (clusters), never single judgments.

    counts: (items, categories), at least two items. Judgments of one item hang together, so an item is drawn
    with all its votes. Drawing n items with replacement is a multinomial weight per item; items with the same
    votes share one weight, which is the same distribution and makes a million items as cheap as a thousand.
    Bounds and the cases without any: `interval_of_replicates`.
    Field & Welsh (2007), JRSS-B 69:369 (clusters).
    """
    values = bootstrap_values(counts, statistic, replicates=replicates, seed=seed)
    return interval_of_replicates(values, statistic.of(counts), counts.shape[0], level=level)


def interval_of_replicates(
    values: Floats, estimate: float, n: int, *, level: float = LEVEL
) -> tuple[float, float] | None:
    """The interval from bootstrap replicates (replicates,) of an estimate that rests on n items.

    Replicates in which the statistic is not defined are left out. Of the others the quantiles are taken at

        Φ(2 z₀ ± √(n/(n-1)) t_{n-1})    z₀ = Φ⁻¹(share of replicates below the estimate)

    where z₀ undoes the downward bias of resampled agreement and t the narrowness of few items. What it covers in
    simulated projects, coefficient by coefficient: docs/performance.md, "Statistics: intervals". The
    accelerated interval (BCa) with the same t covers about a point more everywhere: too much from 50 items on.

    None where the bootstrap has nothing to say: no spread among the replicates (all items alike: a
    sample of perfect agreement does not prove perfect agreement), or so many replicates without a value
    (as when one item holds all the votes of the second label) that they would fill a tail of the interval.
    Efron & Tibshirani (1993), An Introduction to the Bootstrap, ch. 13-14; Hesterberg (2015), The American
    Statistician 69:371 (expansion for small n).
    """
    defined = values[np.isfinite(values)]
    if values.size - defined.size > values.size * (1 - level) / 2:
        return None
    low, high = np.quantile(defined, _quantile_levels(defined, estimate, n, level))
    return None if high - low < _ROUNDING else (float(low), float(high))


def _quantile_levels(replicates: Floats, estimate: float, n: int, level: float) -> Floats:
    below = ((replicates < estimate - _ROUNDING).mean() + (replicates <= estimate + _ROUNDING).mean()) / 2
    bias = ndtri(np.clip(below, _RAREST_RANK, 1 - _RAREST_RANK))
    width = np.sqrt(n / (n - 1)) * stdtrit(n - 1, (1 + level) / 2)
    return ndtr(2 * bias + np.array([-width, width]))


def bootstrap_values(
    counts: NDArray[np.int64], statistic: PooledStatistic, *, replicates: int = REPLICATES, seed: int = 0
) -> Floats:
    """The statistic on `replicates` resamples of the items, shape (replicates,); NaN where not defined.

    Raises ValueError for fewer than one replicate.
    """
    rows, frequency = distinct_rows(counts)
    terms = statistic.terms(rows)
    drawn = item_weights(frequency, replicates=replicates, seed=seed, widest=max(terms.shape))
    return np.concatenate([statistic.value(weights @ terms) for weights in drawn])


def item_weights(
    frequency: NDArray[np.int64], *, replicates: int = REPLICATES, seed: int = 0, widest: int = 1
) -> Iterator[Floats]:
    """Bootstrap weights in bounded pieces, each (some replicates, kinds): how often each kind of item was drawn.

    frequency (kinds,): how many items are of each kind; n of them are drawn. `widest` is the largest number of
    cells that the caller makes of one replicate. Raises ValueError for fewer than one replicate.
    """
    if replicates < 1:
        raise ValueError(f"A bootstrap needs at least one replicate, and some hundreds to mean much; got {replicates}.")
    random = np.random.default_rng(seed)
    n, at_once = int(frequency.sum()), max(1, _CELLS_AT_ONCE // max(widest, frequency.size))
    for start in range(0, replicates, at_once):
        yield random.multinomial(n, frequency / n, size=min(at_once, replicates - start)).astype(float)
