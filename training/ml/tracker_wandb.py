"""Weights & Biases: mirrors a run through its package, if WANDB_PROJECT or WANDB_API_KEY is set."""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from training.ml.durable import whole
from training.ml.job import Job
from training.ml.notices import Notices
from training.recipes.words import gettext_noop

if TYPE_CHECKING:
    from training.ml.tracking import Point

CONNECT_SECONDS = 30
UNREAD = gettext_noop(
    "The note of what %(tracker)s has been told cannot be read: everything is sent once more, and it passes over what "
    "it has."
)


class WeightsAndBiases:
    """Its run's id follows from ours, so a resumed run goes on with it; wandb.json says how far it has been told."""

    name = "Weights & Biases"

    def __init__(self, job: Job, notices: Notices) -> None:
        self.job, self.notices = job, notices
        self.note = job.directory / "wandb.json"
        self.run: Any = None
        self.newest: dict[str, int] = {}

    @classmethod
    def configured(cls, job: Job, notices: Notices) -> WeightsAndBiases | None:
        if not (os.environ.get("WANDB_PROJECT") or os.environ.get("WANDB_API_KEY")):
            return None
        if importlib.util.find_spec("wandb") is None:
            said = gettext_noop(
                "Weights & Biases is configured, but its package is not installed where this run is trained "
                "(pip install wandb): nothing is mirrored there."
            )
            notices.say(said)
            return None
        return cls(job, notices)

    def write(self, points: Sequence[Point]) -> None:
        self.run = self.run or self._begun()
        for point in points:
            fresh = {tag: value for tag, value in point.values.items() if point.step > self.newest.get(tag, -1)}
            if fresh:
                self.run.log(fresh, step=point.step)
                self.newest |= dict.fromkeys(fresh, point.step)
        whole(self.note, json.dumps(self.newest) + "\n")

    def restart(self) -> None:
        """What comes again is known by its step."""

    def close(self, how: str) -> None:
        if self.run:
            self.run.finish(exit_code=0 if how == "done" else 1)

    def _told(self) -> dict[str, int]:
        """By tag the newest step that was told. Of a note that cannot be read nothing is known, and that is said: W&B
        itself passes over steps that it has."""
        try:
            found = json.loads(self.note.read_text(encoding="utf-8"))
            return {str(tag): int(step) for tag, step in found.items()}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, TypeError, AttributeError):
            self.notices.say(UNREAD, tracker=self.name)
            return {}

    def _begun(self) -> Any:
        wandb = importlib.import_module("wandb")
        self.newest = self._told()
        lineage = self.job.lineage
        return wandb.init(
            project=os.environ.get("WANDB_PROJECT") or str(lineage.get("project") or "plumbline"),
            id=self.job.identity,
            name=str(lineage.get("name") or f"run {self.job.run}"),
            config={**asdict(self.job.config), "recipe": self.job.recipe, "seed": self.job.seed, **lineage},
            dir=str(self.job.directory),
            resume="allow",
            settings=wandb.Settings(init_timeout=CONNECT_SECONDS, console="off"),
        )
