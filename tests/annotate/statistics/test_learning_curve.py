"""The learning curve: known power laws, honest quantiles, and points that do not rise."""

import numpy as np
import pytest

from annotate.statistics.estimate import Estimate, Reason, Undefined
from annotate.statistics.learning_curve import CurvePoint, accuracy_with, gain_with

SIZES = (250, 500, 1000, 2000)


def _points(random: np.random.Generator | None, error: float, sizes: tuple[int, ...] = SIZES) -> list[CurvePoint]:
    """Points of 0.8 - 1.5 n^-0.4, with normal errors where there is a generator."""
    noise = random.normal(0, error, len(sizes)) if random else np.zeros(len(sizes))
    seen = [_law(n) + off for n, off in zip(sizes, noise, strict=True)]
    return [
        CurvePoint(n, Estimate(value, value - 1.96 * error, value + 1.96 * error, 500))
        for n, value in zip(sizes, seen, strict=True)
    ]


def _law(n: float) -> float:
    return 0.8 - 1.5 * n**-0.4


def test_sharp_points_give_their_law() -> None:
    points = _points(None, 0.0005)
    for n in (1000, 4000, 20_000):
        assert accuracy_with(points, n).value == pytest.approx(_law(n), abs=0.01)
    assert gain_with(points, 4000).value == pytest.approx(_law(4000) - _law(2000), abs=0.003)


def test_doubt_grows_with_the_distance_and_shrinks_with_the_errors() -> None:
    def width(error: float, n: int) -> float:
        gain = gain_with(_points(None, error), n)
        return gain.high - gain.low

    assert width(0.02, 4000) < width(0.02, 20_000)
    assert width(0.002, 4000) < width(0.02, 4000)
    assert gain_with(_points(None, 0.02), 2000).value == 0.0


def test_the_quantiles_hold_the_truth_about_as_often_as_they_say() -> None:
    random = np.random.default_rng(1)
    found = [accuracy_with(_points(random, 0.02), 8000) for _ in range(100)]
    assert np.mean([each.low <= _law(8000) <= each.high for each in found]) >= 0.9


def test_more_labels_never_promise_less() -> None:
    gains = [gain_with(_points(np.random.default_rng(2), 0.02), n) for n in (2000, 4000, 8000)]
    assert 0 <= gains[0].low <= gains[1].low <= gains[2].low
    assert gains[0].value <= gains[1].value <= gains[2].value
    assert accuracy_with(_points(None, 0.02), 10**9).high <= 1


def test_two_sizes_and_falling_points_are_undefined() -> None:
    points = _points(None, 0.01)
    assert accuracy_with(points[:2], 4000) == Undefined(Reason.TOO_FEW_POINTS)
    assert gain_with([points[0], *points[:2]], 4000) == Undefined(Reason.TOO_FEW_POINTS)
    falling = [CurvePoint(n, point.accuracy) for n, point in zip(SIZES[::-1], points, strict=True)]
    assert gain_with(falling, 4000) == Undefined(Reason.NO_TREND)
    with pytest.raises(ValueError, match="at least one label"):
        accuracy_with([CurvePoint(0, points[0].accuracy), *points], 10)
