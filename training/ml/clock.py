"""How fast a training goes, and how long it will take."""

from __future__ import annotations

import time

from training.ml.checkpoint import Position
from training.ml.progress import Progress


class Clock:
    """Counts real tokens and seconds, and tells the time left from the tokens still to come."""

    def __init__(self, tokens: list[int], epochs: int, start: Position) -> None:
        """`tokens` of every step, of all epochs."""
        self.tokens, self.epochs, self.start = tokens, epochs, start
        self.number = start.step
        self.began = time.monotonic()

    def after(self, number: int) -> Position:
        """The position once step `number` is done; its seconds include those before an interruption."""
        self.number = number
        return Position(self.start.fingerprint, number, round(self.start.seconds + self._seconds(), 3))

    def tell(self, progress: Progress, metrics: dict[str, float]) -> None:
        """A line of progress on the step that is done."""
        progress.step(
            "training",
            step=self.number,
            steps=len(self.tokens),
            epoch=round(self.number * self.epochs / len(self.tokens), 4),
            metrics=metrics,
            tokens_per_second=self.tokens_per_second(),
            eta_seconds=self.eta_seconds(),
        )

    def tokens_per_second(self) -> float:
        return round(sum(self.tokens[self.start.step : self.number]) / self._seconds(), 1)

    def eta_seconds(self) -> float:
        return round(sum(self.tokens[self.number :]) / max(self.tokens_per_second(), 0.1), 1)

    def _seconds(self) -> float:
        return max(time.monotonic() - self.began, 1e-6)
