"""TensorBoard: one event file in the run's folder `tensorboard/`, with the same numbers as progress.jsonl."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from training.ml import event_file

if TYPE_CHECKING:
    from training.ml.tracking import Point


class TensorBoard:
    """Each start of the process writes its file anew from the first step on, so a resumed run has no doubles."""

    name = "TensorBoard"

    def __init__(self, directory: Path) -> None:
        self.folder = directory / "tensorboard"
        self.file: Path | None = None

    def write(self, points: Sequence[Point]) -> None:
        if self.file is None:
            self.file = self._begin()
        event_file.append(self.file, [event_file.scalars(p.time, p.step, list(p.values.items())) for p in points])

    def restart(self) -> None:
        self.file = None

    def close(self, how: str) -> None:
        """Nothing is held open."""

    def _begin(self) -> Path:
        """Readers go from a file to the next by name: the new one comes after the one it replaces."""
        self.folder.mkdir(exist_ok=True)
        earlier = list(self.folder.glob("events.out.tfevents.*"))
        file = self.folder / f"events.out.tfevents.{time.time():017.6f}.plumbline"
        event_file.begin(file, time.time())
        for old in earlier:
            old.unlink()
        return file
