"""The best of n out of N: the mean over all subsets, and its distance from the policy."""

from itertools import combinations
from math import comb, log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotate.statistics.best_of import expected_best, kl_bound
from annotate.statistics.means import mean_interval


@given(st.lists(st.integers(-5, 5).map(float), min_size=1, max_size=7))
def test_it_is_the_mean_of_the_highest_over_all_subsets(scores: list[float]) -> None:
    found = expected_best(np.array([scores]))[0]
    for n in range(1, len(scores) + 1):
        highest = [max(subset) for subset in combinations(scores, n)]
        assert found[n - 1] == pytest.approx(sum(highest) / comb(len(scores), n), abs=1e-12)


@given(st.lists(st.floats(-1e3, 1e3), min_size=16, max_size=16))
def test_it_begins_at_the_mean_never_falls_and_ends_at_the_highest(scores: list[float]) -> None:
    found = expected_best(np.array([scores]))[0]
    assert found[0] == pytest.approx(np.mean(scores), abs=1e-9)
    assert found[-1] == pytest.approx(max(scores), abs=1e-9)
    assert (np.diff(found) >= -1e-9).all()


def test_it_is_unbiased_for_fresh_responses() -> None:
    """Of uniform numbers the highest of n is n/(n + 1) on average."""
    drawn = np.random.default_rng(0).random((40_000, 4))
    assert expected_best(drawn).mean(axis=0) == pytest.approx([1 / 2, 2 / 3, 3 / 4, 4 / 5], abs=0.004)


def test_the_bound_is_that_of_all_different_responses() -> None:
    """Of N equally likely, different responses the best of n has the KL that can be counted; the bound lies above it,
    and comes close with more of them."""
    assert kl_bound(1) == 0
    for n in (2, 4, 16):
        exact = [_counted(n, size) for size in (50, 2000)]
        assert exact[0] < exact[1] <= kl_bound(n) == pytest.approx(exact[1], abs=0.01)


def _counted(n: int, size: int) -> float:
    rank = np.arange(1, size + 1)
    chosen = (rank / size) ** n - ((rank - 1) / size) ** n
    kept = chosen[chosen > 0]
    return float((kept * np.log(kept)).sum() + log(size))


def test_a_mean_has_students_interval() -> None:
    """2.5706 is t of five degrees of freedom, at 97.5 %."""
    values = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    half = 2.5706 * values.std(ddof=1) / 6**0.5
    assert mean_interval(values) == pytest.approx((3.5 - half, 3.5 + half), abs=1e-3)
    assert mean_interval(values[:1]) is None
