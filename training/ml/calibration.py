"""Whether a reward model is right as often as its margins say: expected calibration error, reliability, Brier score."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from itertools import pairwise
from typing import Any

import numpy
from numpy.typing import NDArray
from scipy.special import expit

from training.ml.intervals import Clusters, mean, share_of, undefined
from training.recipes.words import gettext_noop

BINS = 10
PAIRS_A_BIN = 10
ENOUGH = 40
REPLICATES = 1000
CELLS_AT_ONCE = 2**21
FEW = gettext_noop("Only %(n)s held-out pair(s): calibration needs at least %(enough)s.")


def calibration(margins: Sequence[float], clusters: Clusters = None, seed: int = 0) -> dict[str, Any]:
    """From the margins of held-out pairs, which may come in `clusters`. By the Bradley-Terry model a call with the
    margin m is right with the probability sigmoid(|m|), the confidence.

        ECE = sum over bins of (pairs in the bin / pairs) * |share of right calls - mean confidence|

    Ten bins of equal mass, fewer where one would have less than ten pairs (Naeini et al. 2015, AAAI; Guo et al. 2017,
    ICML, section 2). The ECE of few pairs is too high by chance alone: `ece_if_calibrated` is what a model would show
    whose confidences are true, with its 95 % range (Broecker and Smith 2007, Weather and Forecasting 22:651). `brier`
    is the mean of (1 - sigmoid(m))^2; a coin has 0.25.
    """
    signed = numpy.asarray(margins, dtype=float)
    brier = mean(((1 - expit(signed)) ** 2).tolist(), clusters)
    n = signed.size
    if n < ENOUGH:
        few = undefined(n, FEW, enough=ENOUGH)
        return {"ece": few, "ece_if_calibrated": few, "bins": [], "brier": brier}
    order = numpy.argsort(expit(numpy.abs(signed)), kind="stable")
    confidence, right = _calls(signed[order])
    clusters = None if clusters is None else [clusters[place] for place in order]
    edges = _edges(n)
    ece = float(_error(right - confidence, edges))
    random = numpy.random.default_rng(seed)
    if clusters is None:
        resampled = _replicates(lambda size: _resampled(right - confidence, size, random), edges, n)
    else:
        resampled = _replicates_of_clusters(right - confidence, clusters, random)
    calibrated = _replicates(lambda size: (random.random((size, n)) < confidence) - confidence, edges, n)
    return {
        "ece": {"value": ece, **_interval(ece, resampled, calibrated), "n": n},
        "ece_if_calibrated": {"value": float(calibrated.mean()), **_range(calibrated), "n": n},
        "bins": [
            _bin(confidence[a:b], right[a:b], None if clusters is None else clusters[a:b]) for a, b in pairwise(edges)
        ],
        "brier": brier,
    }


def _calls(margins: NDArray[numpy.float64]) -> tuple[NDArray[numpy.float64], NDArray[numpy.float64]]:
    """Confidence, and whether the call was right (a margin of zero half), each (n,)."""
    return expit(numpy.abs(margins)), (numpy.sign(margins) + 1) / 2


def _edges(n: int) -> NDArray[numpy.int64]:
    """Where the bins begin, and n. Whole clusters drawn again may have less pairs than a bin wants: they are one."""
    return numpy.linspace(0, n, min(BINS, max(1, n // PAIRS_A_BIN)) + 1).round().astype(numpy.int64)


def _error(gaps: NDArray[numpy.float64], edges: NDArray[numpy.int64]) -> Any:
    """The ECE of right - confidence, (..., n) in the order of confidence."""
    return numpy.abs(numpy.add.reduceat(gaps, edges[:-1], axis=-1)).sum(axis=-1) / gaps.shape[-1]


def _resampled(gaps: NDArray[numpy.float64], size: int, random: numpy.random.Generator) -> NDArray[numpy.float64]:
    """`size` bootstrap samples of pairs, (size, n), each in the order of confidence again."""
    return gaps[numpy.sort(random.integers(0, gaps.size, (size, gaps.size)), axis=1)]


def _replicates_of_clusters(
    gaps: NDArray[numpy.float64], clusters: Sequence[Hashable], random: numpy.random.Generator
) -> NDArray[numpy.float64]:
    """The ECE of REPLICATES samples of whole clusters, as many as there are; gaps in the order of confidence."""
    places = {cluster: place for place, cluster in enumerate(dict.fromkeys(clusters))}
    whose = numpy.array([places[cluster] for cluster in clusters])
    found = []
    for _ in range(REPLICATES):
        times = numpy.bincount(random.integers(0, len(places), len(places)), minlength=len(places))
        sample = numpy.repeat(gaps, times[whose])
        found.append(_error(sample, _edges(sample.size)))
    return numpy.array(found)


def _replicates(drawn: Any, edges: NDArray[numpy.int64], n: int) -> NDArray[numpy.float64]:
    """The ECE of REPLICATES samples, as many at once as memory allows."""
    at_once = max(1, CELLS_AT_ONCE // n)
    sizes = [min(at_once, REPLICATES - start) for start in range(0, REPLICATES, at_once)]
    return numpy.concatenate([_error(drawn(size), edges) for size in sizes])


def _interval(ece: float, resampled: NDArray[numpy.float64], calibrated: NDArray[numpy.float64]) -> dict[str, float]:
    """The basic bootstrap interval, which takes off the upward bias of resampled ECEs (Davison and Hinkley 1997,
    section 5.2), and further down where a calibrated model might have shown as much. In a simulation of five kinds of
    models, two of them calibrated, it covered the true ECE in 88 to 98 % of 400 samples of 40 pairs, and in 90 to 98 %
    of 100, 300 and 1000; the percentiles of the resamples alone never cover an ECE that is zero."""
    bounds, chance = _range(resampled), _range(calibrated)
    low = min(2 * ece - bounds["high"], ece - chance["high"])
    return {"low": max(low, 0.0), "high": max(ece, 2 * ece - bounds["low"])}


def _range(values: NDArray[numpy.float64]) -> dict[str, float]:
    low, high = numpy.quantile(values, [0.025, 0.975])
    return {"low": float(low), "high": float(high)}


def _bin(confidence: NDArray[numpy.float64], right: NDArray[numpy.float64], clusters: Clusters) -> dict[str, Any]:
    """Bounds and mean of the confidence; the share of right calls with its interval."""
    accuracy = share_of(right.tolist(), clusters)
    return {
        "low": float(confidence[0]),
        "high": float(confidence[-1]),
        "confidence": float(confidence.mean()),
        "accuracy": accuracy["value"],
        "accuracy_low": accuracy["low"],
        "accuracy_high": accuracy["high"],
        "n": right.size,
    }
