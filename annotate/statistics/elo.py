"""Elo: the scale on which ratings are shown, and its update after games. For display only."""

import numpy as np
from numpy.typing import ArrayLike

from annotate.statistics.truth import Floats

CENTRE = 1000.0
POINTS_PER_LOG_ODDS = 400 / np.log(10)


def on_elo_scale(strength: ArrayLike) -> Floats:
    """1000 + 400 / ln 10 · s: 400 points are odds of ten to one. Bradley-Terry strengths, so no order of games."""
    return CENTRE + POINTS_PER_LOG_ODDS * np.asarray(strength, dtype=float)


def expected_score(rating: float, opponents: ArrayLike) -> Floats:
    """1 / (1 + 10^((opponent - rating) / 400)) against each opponent, (n,)."""
    return 1 / (1 + 10 ** ((np.asarray(opponents, dtype=float) - rating) / 400))


def updated_rating(rating: float, opponents: ArrayLike, scores: ArrayLike, *, k: float = 32.0) -> float:
    """The rating after a period: R + K Σ (score - expected score); scores are 1, 1/2 or 0, (n,).

    Depends on the order of the periods and has no interval: ratings are estimated by `model_ratings`.
    Raises ValueError for unequal lengths. Elo (1978), The Rating of Chessplayers, eq. 2.
    """
    earned = np.asarray(scores, dtype=float)
    expected = expected_score(rating, opponents)
    if earned.shape != expected.shape:
        raise ValueError(f"There must be one score for each opponent, got {earned.shape} for {expected.shape}.")
    return float(rating + k * (earned - expected).sum())
