"""Held-out accuracy against the number of labels: a power law through the points, carried on with its uncertainty."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from annotate.statistics.estimate import Estimate, Outcome, Reason, Undefined
from annotate.statistics.intervals import LEVEL
from annotate.statistics.truth import Floats

_EXPONENTS = np.linspace(0.05, 1.5, 59)
_DRAWS = 20_000
_FEWEST_KEPT = 200


@dataclass(frozen=True)
class CurvePoint:
    """Accuracy of a model trained on n labels, with its interval (n of the estimate: held-out pairs)."""

    n: int
    accuracy: Estimate


@dataclass(frozen=True)
class _Laws:
    """Draws of (c, a, b) that the points allow, (draws,) each; n counts in units of `unit`."""

    limit: Floats
    drop: Floats
    exponent: Floats
    unit: float

    def at(self, n: float) -> Floats:
        return self.limit - self.drop * (n / self.unit) ** -self.exponent


def accuracy_with(points: Sequence[CurvePoint], n: int, *, level: float = LEVEL, seed: int = 0) -> Outcome:
    """Accuracy to be expected with n labels: median and quantiles of the power laws that fit the points.

        accuracy(n) = c - a n^-b,   a >= 0, c <= 1, b between 0.05 and 1.5, all equally likely beforehand
        each point is normal around it, with the standard error that its interval says

    c and a are linear given b, so their posterior is exact on a grid of b; 20,000 laws are drawn from it.
    Points that share their held-out pairs err together, which this does not know. Far beyond the last point
    it is an assumption, not a measurement. Undefined with fewer than three sizes, or where the points fall.
    Cortes et al. (1994), NIPS 6:327; Figueroa et al. (2012), BMC Medical Informatics 12:8.
    """
    laws = _laws(points, level, seed)
    return laws if isinstance(laws, Undefined) else _outcome(laws.at(n), level, len(points))


def gain_with(points: Sequence[CurvePoint], n: int, *, level: float = LEVEL, seed: int = 0) -> Outcome:
    """Accuracy with n labels less that with as many as the largest point has, both on the curve."""
    laws = _laws(points, level, seed)
    if isinstance(laws, Undefined):
        return laws
    return _outcome(laws.at(n) - laws.at(max(point.n for point in points)), level, len(points))


def _outcome(values: Floats, level: float, n: int) -> Estimate:
    low, middle, high = np.quantile(values, [(1 - level) / 2, 0.5, (1 + level) / 2])
    return Estimate(value=float(middle), low=float(low), high=float(high), n=n)


def _laws(points: Sequence[CurvePoint], level: float, seed: int) -> _Laws | Undefined:
    sizes = np.array([point.n for point in points], dtype=float)
    if np.unique(sizes).size < 3:
        return Undefined(Reason.TOO_FEW_POINTS)
    if (sizes <= 0).any():
        raise ValueError("A point of a learning curve needs at least one label.")
    seen = np.array([point.accuracy.value for point in points])
    width = np.array([point.accuracy.high - point.accuracy.low for point in points])
    error = np.maximum(width / 2 / float(ndtri((1 + level) / 2)), 1e-6)
    unit = float(np.exp(np.log(sizes).mean()))
    fits = [_fit(sizes / unit, seen, error, exponent) for exponent in _EXPONENTS]
    weight = np.exp(np.array([fit[2] for fit in fits]) - max(fit[2] for fit in fits))
    random = np.random.default_rng(seed)
    number = random.multinomial(_DRAWS, weight / weight.sum())
    drawn = [random.multivariate_normal(fit[0], fit[1], size=times) for fit, times in zip(fits, number, strict=True)]
    limit, drop = np.concatenate(drawn).T
    kept = (drop >= 0) & (limit <= 1)
    if kept.sum() < _FEWEST_KEPT:
        return Undefined(Reason.NO_TREND)
    return _Laws(limit[kept], drop[kept], np.repeat(_EXPONENTS, number)[kept], unit)


def _fit(n: Floats, seen: Floats, error: Floats, exponent: float) -> tuple[Floats, Floats, float]:
    """Mean (2,) and covariance (2, 2) of (c, a), and the log of how well this exponent explains the points."""
    design = np.column_stack([np.ones_like(n), -(n**-exponent)]) / error[:, None]
    covariance = np.linalg.inv(design.T @ design)
    mean = covariance @ design.T @ (seen / error)
    rest = seen / error - design @ mean
    return mean, covariance, float(-rest @ rest / 2 + np.linalg.slogdet(covariance)[1] / 2)
