"""A running mean and deviation of all scores so far, by which new ones are scaled; part of a run's checkpoint."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class RewardScale:
    """Count, mean and sum of squared deviations (Welford 1962)."""

    count: int = 0
    mean: float = 0.0
    squares: float = 0.0

    def seen(self, scores: Sequence[float]) -> RewardScale:
        """With these scores taken in."""
        count, mean, squares = self.count, self.mean, self.squares
        for score in scores:
            count += 1
            step = score - mean
            mean += step / count
            squares += step * (score - mean)
        return RewardScale(count, mean, squares)

    def scaled(self, score: float) -> float:
        """(score - mean) / deviation; while all scores are the same, 0."""
        return (score - self.mean) / self.deviation if self.deviation > 0 else 0.0

    @property
    def deviation(self) -> float:
        return math.sqrt(self.squares / self.count) if self.count else 0.0

    def as_dict(self) -> dict[str, float]:
        return asdict(self)
