"""Plackett-Luce: known strengths, Bradley-Terry as its case of two, and rankings that have no maximum."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annotate.statistics.bradley_terry import bradley_terry
from annotate.statistics.estimate import Reason, Undefined
from annotate.statistics.plackett_luce import plackett_luce

from .games import games

STRENGTH = np.array([1.2, 0.5, 0.0, -0.6, -1.1])


def rankings(n: int, size: int, random: np.random.Generator) -> list[np.ndarray]:
    """`size` random players, ordered by strength plus Gumbel noise, which is the model."""
    drawn = [random.choice(5, size, replace=False) for _ in range(n)]
    return [players[np.argsort(-(STRENGTH[players] + random.gumbel(size=size)))] for players in drawn]


def test_strengths_are_recovered_and_their_errors_honest() -> None:
    random = np.random.default_rng(1)
    found = plackett_luce(rankings(3000, 4, random))
    assert np.abs(found.strength - (STRENGTH - STRENGTH.mean())).max() < 0.1
    off = [plackett_luce(rankings(60, 4, random)) for _ in range(150)]
    z = [(each.strength - (STRENGTH - STRENGTH.mean())) / np.sqrt(np.diag(each.covariance)) for each in off]
    assert 0.92 < (np.abs(z) < 1.96).mean() < 0.98


def test_rankings_of_two_are_bradley_terry() -> None:
    played = games(STRENGTH, 400, np.random.default_rng(2), model="plain", tie=0.0)
    pairs = np.where((played.label == 0)[:, None], np.stack([played.first, played.second], 1), 0) + np.where(
        (played.label == 2)[:, None], np.stack([played.second, played.first], 1), 0
    )
    one, other = plackett_luce(list(pairs)), bradley_terry(played, "plain")
    assert one.strength == pytest.approx(other.strength, abs=1e-6)
    assert one.covariance == pytest.approx(other.covariance, rel=1e-5)


@given(seed=st.integers(0, 2**31))
@settings(deadline=None, max_examples=15)
def test_names_do_not_matter(seed: int) -> None:
    random = np.random.default_rng(seed)
    seen, names = rankings(60, 3, random), random.permutation(5)
    one, other = plackett_luce(seen), plackett_luce([names[ranking] for ranking in seen])
    if isinstance(one, Undefined):
        assert one == other
    else:
        assert other.strength[names] == pytest.approx(one.strength, abs=1e-6)


@given(seed=st.integers(0, 2**31), n=st.integers(1, 8))
@settings(deadline=None, max_examples=40)
def test_any_rankings_give_finite_strengths_or_a_reason(seed: int, n: int) -> None:
    random = np.random.default_rng(seed)
    found = plackett_luce([random.choice(5, random.integers(2, 6), replace=False) for _ in range(n)])
    if isinstance(found, Undefined):
        assert found.reason in (Reason.SEPARATED, Reason.DISCONNECTED)
    else:
        assert np.isfinite(found.strength).all() and np.isfinite(found.covariance).all()
        assert found.probabilities.sum() == pytest.approx(1)
        assert (np.diff(found.log_likelihood) >= 0).all()


def test_what_has_no_maximum_is_undefined_with_a_reason() -> None:
    assert plackett_luce([]) == Undefined(Reason.NO_JUDGMENTS)
    assert plackett_luce([list("xyz"), list("xzy")]) == Undefined(Reason.SEPARATED)
    assert plackett_luce([list("xy"), list("yx"), list("zw"), list("wz")]) == Undefined(Reason.DISCONNECTED)


def test_a_contrarian_is_less_reliable() -> None:
    random = np.random.default_rng(3)
    seen = rankings(300, 4, random)
    turned = [ranking[::-1] if i % 3 == 0 else ranking for i, ranking in enumerate(seen)]
    found = plackett_luce(turned, annotators=["contrarian" if i % 3 == 0 else "usual" for i in range(300)])
    assert found.annotators.tolist() == ["contrarian", "usual"]
    assert found.reliability[0] < 0.5 < found.reliability[1]


@pytest.mark.parametrize("broken", [["x"], ["x", "x"], [["x", "y"]]])
def test_a_malformed_ranking_is_refused_by_its_place(broken: list) -> None:
    with pytest.raises(ValueError, match="Ranking 1 must name"):
        plackett_luce([["x", "y"], broken])
    with pytest.raises(ValueError, match="2 rankings and 1 annotators"):
        plackett_luce([["x", "y"], ["y", "x"]], annotators=["one"])
