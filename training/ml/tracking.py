"""Mirrors the numbers of progress.jsonl to whoever else keeps them: TensorBoard always, MLflow and W&B if configured.

A thread of the training process reads the file that the recipe writes, so that no recipe knows of trackers, no tracker
slows a step down, and none that fails ends a run.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from training.ml import launched
from training.ml.cancel import Cancelled
from training.ml.job import Job
from training.ml.notices import Notices
from training.ml.shown import without_secrets
from training.ml.tracker_mlflow import MLflow
from training.ml.tracker_tensorboard import TensorBoard
from training.ml.tracker_wandb import WeightsAndBiases
from training.recipes.json_lines import parsed
from training.recipes.words import gettext_noop

SECONDS = 2.0
# What is kept for a tracker that does not take it: a day of steps of ten seconds, some megabytes. It is sent again as a
# whole at every look.
MOST_WAITING = 10_000
DROPPED = gettext_noop(
    "%(tracker)s took nothing for so long that the oldest %(lines)s lines with numbers were dropped. The run's own "
    "page has them all."
)
# How long the end of a run waits for a tracker that does not answer.
LAST_SECONDS = 20.0


@dataclass(frozen=True)
class Point:
    """The numbers of one line: `values` by tag, such as "training/loss"."""

    time: float
    step: int
    values: dict[str, float]


class Tracker(Protocol):
    name: str

    def write(self, points: Sequence[Point]) -> None:
        """May be given points again that it has, after a resumption: keeping no doubles is its own matter."""

    def restart(self) -> None:
        """The file was replaced by one with fewer steps: everything comes again."""

    def close(self, how: str) -> None:
        """`how`: "done", "stopped" (it will be resumed) or "failed"."""


@contextmanager
def tracked(job: Job) -> Iterator[None]:
    """While the job is done its numbers are mirrored. Of several processes only the first does it."""
    if not launched.is_first():
        yield
        return
    notices = Notices(job.directory)
    notices.forget()
    follower = Follower(job.directory, trackers_of(job, notices), notices)
    follower.start()
    how = "failed"
    try:
        yield
        how = "done"
    except Cancelled:
        how = "stopped"
        raise
    finally:
        follower.finish(how)


def trackers_of(job: Job, notices: Notices) -> list[Tracker]:
    found: list[Tracker | None] = [
        TensorBoard(job.directory),
        MLflow.configured(job, notices),
        WeightsAndBiases.configured(job, notices),
    ]
    return [tracker for tracker in found if tracker is not None]


class Follower(threading.Thread):
    """Reads what has been added to progress.jsonl, and hands it to each tracker; what one does not take is kept."""

    def __init__(self, directory: Path, trackers: Sequence[Tracker], notices: Notices) -> None:
        super().__init__(name="tracking", daemon=True)
        self.path = directory / "progress.jsonl"
        self.notices = notices
        self.pending: dict[Tracker, list[Point]] = {tracker: [] for tracker in trackers}
        self.dropped = dict.fromkeys(trackers, 0)
        self.ended = threading.Event()
        self.how = "failed"
        self.file = self.offset = self.last_step = 0

    def run(self) -> None:
        while not self.ended.wait(SECONDS):
            self.look()
        self.look()
        for tracker in self.pending:
            if lines := self.dropped[tracker]:
                with suppress(OSError):
                    self.notices.say(DROPPED, tracker=tracker.name, lines=str(lines))
            self._trying(tracker, lambda tracker=tracker: tracker.close(self.how))

    def finish(self, how: str) -> None:
        self.how = how
        self.ended.set()
        self.join(LAST_SECONDS)

    def look(self) -> None:
        points = self.points()
        for tracker, waiting in self.pending.items():
            waiting += points
            if waiting and self._trying(tracker, lambda tracker=tracker, waiting=waiting: tracker.write(waiting)):
                waiting.clear()
            surplus = max(0, len(waiting) - MOST_WAITING)
            del waiting[:surplus]
            self.dropped[tracker] += surplus

    def points(self) -> list[Point]:
        """Of the whole lines that were added since the last look."""
        try:
            with self.path.open("rb") as file:
                facts = os.fstat(file.fileno())
                if facts.st_ino != self.file or facts.st_size < self.offset:
                    self._begin_anew(facts.st_ino)
                file.seek(self.offset)
                piece = file.read()
        except OSError:  # it is not there yet, or its disk is away for a moment: the next look finds it
            return []
        whole = piece[: piece.rfind(b"\n") + 1]
        self.offset += len(whole)
        return [point for row in map(parsed, whole.split(b"\n")) if row and (point := self._point(row))]

    def _begin_anew(self, file: int) -> None:
        if self.file:
            for tracker, waiting in self.pending.items():
                waiting.clear()
                self.dropped[tracker] = 0
                self._trying(tracker, tracker.restart)
        self.file, self.offset, self.last_step = file, 0, 0

    def _point(self, row: dict[str, Any]) -> Point | None:
        """An evaluation without a step is of the last one."""
        if row.get("kind") not in ("step", "eval"):
            return None
        self.last_step = row.get("step") or self.last_step
        room = row["stage"] if row["kind"] == "step" else "held_out"
        beside = {name: row.get(name) for name in ("tokens_per_second", "memory_bytes", "gpu_memory_bytes")}
        values = {**(row.get("metrics") or {}), **beside}
        numbers = {f"{room}/{name}": float(v) for name, v in values.items() if isinstance(v, int | float)}
        return Point(row["time"], self.last_step, numbers) if numbers else None

    def _trying(self, tracker: Tracker, verb: Callable[[], None]) -> bool:
        """Whatever a tracker raises, its packages' own errors too, is told and not passed on."""
        try:
            verb()
        except Exception as error:
            with suppress(OSError):  # what fills the disk for the tracker fills it for its notice
                self._tell(tracker, error)
            return False
        return True

    def _tell(self, tracker: Tracker, error: Exception) -> None:
        why = without_secrets(str(error))
        said = gettext_noop("%(tracker)s does not take the numbers of this run: %(error)s. The run goes on.")
        self.notices.say(said, tracker=tracker.name, error=(why or type(error).__name__)[:200])
        print(f"{tracker.name}: {type(error).__name__}: {why}", file=sys.stderr)
