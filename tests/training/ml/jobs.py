"""Writes the directory of a training job as the supervisor would, and reads what it left."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from training.ml.artifact import verify_artifact
from training.ml.job import Job, read_job
from training.ml.progress import read_lines


def write_job(
    directory: Path,
    recipe: str,
    model: Path,
    data: dict[str, str],
    *,
    adapters: tuple[str, ...] = (),
    reward_model: dict[str, Any] | None = None,
    **config: Any,
) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    job = {
        "format": 1,
        "run": 1,
        "recipe": recipe,
        "seed": 0,
        "config": config,
        "model": {"base": str(model), "adapters": list(adapters)},
        "reference_model": None,
        "reward_model": reward_model,
        "data": data,
        "prompts": None,
        "cache": str(directory.parent / "cache"),
        "lineage": {"snapshot": 3},
    }
    (directory / "job.json").write_text(json.dumps(job), encoding="utf-8")
    return directory


def job_of(*arguments: Any, **settings: Any) -> Job:
    return read_job(write_job(*arguments, **settings))


def manifest(directory: Path) -> dict[str, Any]:
    return verify_artifact(directory / "artifact")


def curve(directory: Path) -> list[tuple[int, float, float, float]]:
    lines = [line for line in read_lines(directory / "progress.jsonl") if line["kind"] == "step"]
    return [(x["step"], x["metrics"]["loss"], x["metrics"]["margin"], x["metrics"]["grad_norm"]) for x in lines]
