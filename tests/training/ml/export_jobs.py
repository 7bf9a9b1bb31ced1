"""The directory of an export or a merge, as the supervisor would write it: the card beside the job."""

from __future__ import annotations

import json
from pathlib import Path

from tests.training.ml.jobs import write_job
from tests.training.ml.trained import Trained
from training.ml.job import Job, ModelSpec, read_job


def job(trained: Trained, directory: Path, recipe: str = "export", **config: object) -> Job:
    return job_of_model(trained.spec, directory, recipe, **config)


def job_of_model(spec: ModelSpec, directory: Path, recipe: str = "export", **config: object) -> Job:
    folder = {"folder": "plain"} if recipe == "export" else {}
    adapters = tuple(spec.adapters)
    write_job(directory, recipe, Path(spec.base), {}, adapters=adapters, **folder, **config)
    raw = json.loads((directory / "job.json").read_text())
    raw |= {"data": None, "lineage": {"project": "garden", "created": "today"}}
    (directory / "job.json").write_text(json.dumps(raw))
    (directory / "card.md").write_text("# The card\n")
    return read_job(directory)
