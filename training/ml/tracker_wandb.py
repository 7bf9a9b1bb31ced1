"""Weights & Biases: mirrors a run through its package, if WANDB_PROJECT or WANDB_API_KEY is set."""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from training.ml.job import Job
from training.ml.notices import Notices
from training.recipes.words import gettext_noop

if TYPE_CHECKING:
    from training.ml.tracking import Point

CONNECT_SECONDS = 30


class WeightsAndBiases:
    """Its run's id follows from ours, so a resumed run goes on with it; wandb.json says how far it has been told."""

    name = "Weights & Biases"

    def __init__(self, job: Job) -> None:
        self.job = job
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
        return cls(job)

    def write(self, points: Sequence[Point]) -> None:
        self.run = self.run or self._begun()
        for point in points:
            fresh = {tag: value for tag, value in point.values.items() if point.step > self.newest.get(tag, -1)}
            if fresh:
                self.newest |= dict.fromkeys(fresh, point.step)
                self.run.log(fresh, step=point.step)
        self.note.write_text(json.dumps(self.newest) + "\n", encoding="utf-8")

    def restart(self) -> None:
        """What comes again is known by its step."""

    def close(self, how: str) -> None:
        if self.run:
            self.run.finish(exit_code=0 if how == "done" else 1)

    def _begun(self) -> Any:
        wandb = importlib.import_module("wandb")
        if self.note.exists():
            self.newest = json.loads(self.note.read_text(encoding="utf-8"))
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
