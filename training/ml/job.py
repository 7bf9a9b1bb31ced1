"""Reads job.json into a frozen Job, the only thing a recipe is given."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training import recipes
from training.ml.errors import ModelError

FORMAT = 1


@dataclass(frozen=True)
class ModelSpec:
    """A model: a base (directory, hub id or GGUF file) and the adapters that go onto it, in order."""

    base: str
    adapters: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """The shape used in job.json and manifest.json."""
        return {"base": self.base, "adapters": list(self.adapters)}


@dataclass(frozen=True)
class Data:
    train: Path
    test: Path
    snapshot_hash: str


@dataclass(frozen=True)
class Job:
    """`config` is the recipe's own dataclass; `directory` is where everything of this run is read and written."""

    directory: Path
    run: int
    recipe: str
    seed: int
    config: Any
    model: ModelSpec
    reference_model: ModelSpec | None
    data: Data | None
    prompts: Path | None
    cache: Path
    lineage: dict[str, Any]


def read_job(directory: Path) -> Job:
    """The job in `directory`; raises ModelError("bad_job") or RecipeError naming what is wrong."""
    path = directory / "job.json"
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise _bad(f"{path} does not exist.") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise _bad(f"{path} is not valid JSON: {error}.") from error
    if not isinstance(raw, dict) or raw.get("format") != FORMAT:
        raise _bad(f"{path} is not a job of format {FORMAT}.")
    try:
        return _job(directory, raw)
    except KeyError as error:
        raise _bad(f"{path} lacks {error.args[0]!r}.") from error
    except (TypeError, ValueError) as error:
        if isinstance(error, recipes.RecipeError):
            raise
        raise _bad(f"{path} has a value of the wrong type: {error}.") from error


def _job(directory: Path, raw: dict[str, Any]) -> Job:
    data, prompts, reference = raw.get("data"), raw.get("prompts"), raw.get("reference_model")
    return Job(
        directory=directory,
        run=int(raw["run"]),
        recipe=str(raw["recipe"]),
        seed=int(raw["seed"]),
        config=recipes.load(raw["recipe"], raw["config"]),
        model=_spec(raw["model"]),
        reference_model=_spec(reference) if reference else None,
        data=Data(Path(data["train"]), Path(data["test"]), str(data["snapshot_hash"])) if data else None,
        prompts=Path(prompts) if prompts else None,
        cache=Path(raw["cache"]),
        lineage=dict(raw.get("lineage") or {}),
    )


def _spec(raw: dict[str, Any]) -> ModelSpec:
    return ModelSpec(str(raw["base"]), tuple(str(adapter) for adapter in raw.get("adapters") or ()))


def _bad(message: str) -> ModelError:
    return ModelError("bad_job", message, "Start the run again from its page, which writes the job anew.")
