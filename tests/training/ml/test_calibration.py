"""Calibration: bins and errors by hand, and models that are calibrated and that are not."""

from __future__ import annotations

from itertools import pairwise

import numpy
import pytest
from scipy.special import expit, logit

from training.ml.calibration import _edges, _replicates_of_clusters, calibration


def _simulated(n: int, scale: float, seed: int) -> list[float]:
    """Margins of a model that is `scale` times as sure as it may be."""
    random = numpy.random.default_rng(seed)
    true = numpy.abs(random.normal(0, 1.5, n))
    return list(numpy.where(random.random(n) < expit(true), 1, -1) * true * scale)


def test_the_error_is_that_of_the_definition() -> None:
    """Four bins of ten: right 9 of 10 at a confidence of 0.9, and so on; errors 0, 0.1, 0.2, 0.1."""
    bins = {0.6: 6, 0.7: 8, 0.8: 6, 0.9: 10}
    margins = [sign * logit(p) for p, right in bins.items() for sign in [1] * right + [-1] * (10 - right)]
    found = calibration(list(numpy.random.default_rng(0).permutation(margins)))
    assert found["ece"]["value"] == pytest.approx((0 + 0.1 + 0.2 + 0.1) / 4)
    assert [one["n"] for one in found["bins"]] == [10] * 4
    assert [one["accuracy"] for one in found["bins"]] == [0.6, 0.8, 0.6, 1.0]
    assert [one["confidence"] for one in found["bins"]] == pytest.approx(list(bins))
    assert [(one["low"], one["high"]) for one in found["bins"]] == [pytest.approx((p, p)) for p in bins]
    # Newcombe's method 3 (Wilson) for 6 of 10
    assert found["bins"][0]["accuracy_low"] == pytest.approx(0.3127, abs=1e-4)


def test_the_brier_score_is_the_mean_squared_distance_from_one() -> None:
    found = calibration([float(logit(p)) for p in (0.5, 0.9, 0.2, 0.6, 1 - 1e-12)])
    assert found["brier"]["value"] == pytest.approx((0.25 + 0.01 + 0.64 + 0.16 + 0) / 5)
    assert calibration([0.0] * 40)["brier"]["value"] == 0.25


def test_a_constant_score_is_a_coin_and_knows_it() -> None:
    found = calibration([0.0] * 50)
    assert found["ece"]["value"] == 0.0
    assert {one["accuracy"] for one in found["bins"]} == {0.5}


def test_bins_have_equal_mass_and_are_ten_at_most() -> None:
    for n, sizes in {40: {10}, 59: {11, 12}, 100: {10}, 1003: {100, 101}}.items():
        bins = calibration(_simulated(n, 1.0, 0))["bins"]
        assert {one["n"] for one in bins} == sizes and sum(one["n"] for one in bins) == n
        assert all(a["high"] <= b["low"] for a, b in pairwise(bins))


def test_a_calibrated_model_is_not_called_miscalibrated_and_one_that_is_too_sure_is() -> None:
    """The error itself is above zero for both: 300 pairs are few."""
    calibrated, sure = calibration(_simulated(300, 1.0, 1)), calibration(_simulated(300, 4.0, 1))
    assert calibrated["ece"]["low"] == 0.0 < calibrated["ece"]["value"]
    assert calibrated["ece"]["value"] < calibrated["ece_if_calibrated"]["high"]
    assert sure["ece"]["low"] > 0.05
    assert sure["ece"]["value"] > sure["ece_if_calibrated"]["high"]


def test_the_interval_of_a_calibrated_models_error_covers_zero_nearly_always() -> None:
    lows = [calibration(_simulated(100, 1.0, seed), seed=seed)["ece"]["low"] for seed in range(60)]
    assert sum(low == 0.0 for low in lows) >= 54


def test_the_same_margins_give_the_same_interval() -> None:
    margins = _simulated(200, 2.0, 3)
    assert calibration(margins) == calibration(margins)


@pytest.mark.parametrize("n", [0, 4, 39])
def test_too_few_pairs_give_no_error_and_say_how_many_are_needed(n: int) -> None:
    found = calibration([1.0] * n)
    assert found["bins"] == []
    assert found["ece"]["value"] is None
    assert found["ece"]["reason"] == f"Only {n} held-out pair(s): calibration needs at least 40."
    assert (found["brier"]["value"] is None) == (n < 5)


def test_a_resample_with_fewer_pairs_than_a_bin_wants_has_an_error_all_the_same() -> None:
    """One prompt has most of the pairs: whoever draws it seldom draws little, and that little is one bin."""
    assert [list(_edges(n)) for n in (1, 9, 10, 25)] == [[0, 1], [0, 9], [0, 10], [0, 12, 25]]
    margins = [3.0] * 30 + [-3.0] * 20
    clusters = ["the large one"] * 44 + [f"p{n}" for n in range(6)]
    gaps = numpy.where(numpy.array(margins) > 0, 1.0, 0.0) - expit(3.0)
    drawn = _replicates_of_clusters(gaps, clusters, numpy.random.default_rng(0))
    assert drawn.size == 1000 and (drawn > 0).all()
    found = calibration(margins, clusters)["ece"]
    assert 0 <= found["low"] <= found["value"] <= found["high"]
