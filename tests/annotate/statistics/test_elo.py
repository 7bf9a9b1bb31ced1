"""Elo: the published example, and the scale."""

import pytest

from annotate.statistics.elo import expected_score, on_elo_scale, updated_rating

from . import published


def test_the_published_period_gives_the_published_rating() -> None:
    entry = published.entry("elo_wikipedia")
    expected = expected_score(entry["start"], entry["opponents"]).sum()
    rating = updated_rating(entry["start"], entry["opponents"], entry["scores"], k=entry["K"])
    assert expected == pytest.approx(entry["recomputed"]["expected_score"], abs=1e-6)
    assert rating == pytest.approx(entry["recomputed"]["new_rating"], abs=1e-6)
    assert rating == pytest.approx(entry["published"]["new_rating"], abs=entry["tol"])


def test_four_hundred_points_are_ten_to_one() -> None:
    low, high = on_elo_scale([0.0, 2.302585092994046])
    assert (low, high) == (1000, pytest.approx(1400))
    assert expected_score(high, [low])[0] == pytest.approx(10 / 11)


def test_every_opponent_needs_a_score() -> None:
    with pytest.raises(ValueError, match="one score for each opponent"):
        updated_rating(1000, [1000, 1100], [1])
