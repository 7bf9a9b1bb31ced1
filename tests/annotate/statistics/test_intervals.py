"""Intervals cover what they claim, and are the same for the same seed."""

from time import perf_counter

import numpy as np
import pytest
from scipy.stats import binom, binomtest

from annotate.statistics.estimate import Estimate, Outcome
from annotate.statistics.intervals import PooledStatistic, bootstrap_values, wilson_interval
from annotate.statistics.krippendorff_alpha import krippendorff_alpha
from annotate.statistics.raw_agreement import raw_agreement
from benchmarks.interval_coverage import FAMILIES, coverage

from . import simulated
from .same import same

COEFFICIENTS = {
    "alpha nominal": lambda counts, **how: krippendorff_alpha(counts, **how),
    "alpha ordinal": lambda counts, **how: krippendorff_alpha(counts, metric="ordinal", **how),
    "raw, ties as class": lambda counts, **how: raw_agreement(counts, "ties_as_class", **how),
    "raw, ties excluded": lambda counts, **how: raw_agreement(counts, "ties_excluded", **how),
    "raw, ties half": lambda counts, **how: raw_agreement(counts, "ties_half", **how),
}
EVERY_OTHER = [
    (name, coefficients, worlds) for coefficients, worlds in FAMILIES for name in coefficients if "raw" not in name
]


@pytest.mark.parametrize(("successes", "n"), [(0, 1), (1, 1), (0, 20), (7, 20), (20, 20), (431, 1000)])
def test_wilson_is_the_interval_of_the_score_test(successes: int, n: int) -> None:
    expected = binomtest(successes, n).proportion_ci(method="wilson")
    assert wilson_interval(successes, n) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_wilson_covers_a_proportion_near_one() -> None:
    n, p = 60, 0.96
    bounds = [wilson_interval(k, n) for k in range(n + 1)]
    covered = sum(binom.pmf(k, n, p) for k, (low, high) in enumerate(bounds) if low <= p <= high)
    assert 0.92 < covered < 0.99


@pytest.mark.parametrize(("successes", "n"), [(0, 0), (3, 2), (-1, 5)])
def test_wilson_refuses_an_impossible_proportion(successes: int, n: int) -> None:
    with pytest.raises(ValueError, match="A proportion needs"):
        wilson_interval(successes, n)


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize(("name", "coefficients", "worlds"), EVERY_OTHER)
def test_every_other_interval_covers_the_truth_too(name: str, coefficients: dict, worlds: dict) -> None:
    world = next(iter(worlds.values()))
    held, undefined = coverage(coefficients[name], world, 100, projects=400, replicates=400)
    assert 0.93 <= held <= 0.97
    assert undefined == 0


@pytest.mark.parametrize("name", COEFFICIENTS)
def test_the_bootstrap_interval_covers_the_truth_in_95_percent_of_projects(name: str) -> None:
    coefficient, projects = COEFFICIENTS[name], 800
    truth = coefficient(simulated.votes(1_000_000, np.random.default_rng(99)), replicates=50).value
    covered = 0
    for project in range(projects):
        counts = simulated.votes(80, np.random.default_rng([project, 7]))
        estimate = coefficient(counts, replicates=500, seed=project)
        covered += estimate.low <= truth <= estimate.high
    assert 0.93 <= covered / projects <= 0.97


def test_votes_of_one_item_are_resampled_together() -> None:
    """Ten copies of every vote add no information about other items: the interval must not shrink by √10."""
    counts = simulated.votes(60, np.random.default_rng(3))
    once, tenfold = krippendorff_alpha(counts), krippendorff_alpha(counts * 10)
    assert _width(tenfold) > 0.6 * _width(once)


def test_weights_of_distinct_rows_are_the_plain_bootstrap_of_items() -> None:
    counts = simulated.votes(40, np.random.default_rng(5))
    share_of_a = PooledStatistic(
        terms=lambda rows: np.stack([rows[:, 0], rows.sum(axis=1)], axis=1).astype(float),
        value=lambda sums: sums[..., 0] / sums[..., 1],
    )
    drawn = counts[np.random.default_rng(6).integers(0, 40, (20_000, 40))]
    plain = drawn[:, :, 0].sum(axis=1) / drawn.sum(axis=(1, 2))
    weighted = bootstrap_values(counts, share_of_a, replicates=20_000)
    assert weighted.mean() == pytest.approx(plain.mean(), abs=0.003)
    assert weighted.std() == pytest.approx(plain.std(), rel=0.03)


def test_the_same_seed_gives_the_same_interval_and_another_seed_another() -> None:
    counts = simulated.votes(60, np.random.default_rng(3))
    assert same(krippendorff_alpha(counts, seed=4), krippendorff_alpha(counts, seed=4))
    assert not same(krippendorff_alpha(counts, seed=4), krippendorff_alpha(counts, seed=5))


def test_a_bootstrap_without_replicates_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one replicate"):
        krippendorff_alpha(simulated.votes(60, np.random.default_rng(3)), replicates=0)


def test_a_wider_level_gives_a_wider_interval() -> None:
    counts = simulated.votes(60, np.random.default_rng(3))
    assert _width(krippendorff_alpha(counts, level=0.99)) > _width(krippendorff_alpha(counts, level=0.8))


def test_a_thousand_resamples_of_a_hundred_thousand_items_take_less_than_two_seconds() -> None:
    counts = simulated.votes(100_000, np.random.default_rng(8))
    start = perf_counter()
    outcome = krippendorff_alpha(counts, replicates=1000)
    assert perf_counter() - start < 2
    assert outcome.n == 100_000


def _width(outcome: Outcome) -> float:
    assert isinstance(outcome, Estimate)
    return outcome.high - outcome.low
