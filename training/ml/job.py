"""Reads job.json into a frozen Job, the only thing a recipe is given."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training import recipes
from training.ml.errors import ModelError
from training.recipes.words import gettext_noop

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
    """The ties are pairs of the same shape in which neither response won; None where the snapshot keeps none.
    `test_annotators`: pairs of test prompts as people judged them of whom nothing is in `train`; None where the
    snapshot holds nobody out. `unpaired`: a row is one response with a label, and not a pair."""

    train: Path
    test: Path
    snapshot_hash: str
    ties_train: Path | None = None
    ties_test: Path | None = None
    test_annotators: Path | None = None
    unpaired: bool = False


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
    reward_model: ModelSpec | None
    data: Data | None
    prompts: Path | None
    cache: Path
    lineage: dict[str, Any]
    # What a policy is probed with before and after its training.
    probes: Path | None = None
    # Whether the trained model is timed: in a bench it is.
    latency: bool = False

    @property
    def identity(self) -> str:
        """The same for every start of this run, and of no other: a database made anew counts its runs from 1 again."""
        created = self.lineage.get("created") or self.directory
        return hashlib.sha256(f"{self.lineage.get('project')}:{self.run}:{created}".encode()).hexdigest()[:16]


def read_job(directory: Path) -> Job:
    """The job in `directory`; raises ModelError("bad_job") or RecipeError naming what is wrong."""
    path = directory / "job.json"
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise _bad(gettext_noop("%(path)s does not exist."), path=path) from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise _bad(gettext_noop("%(path)s is not valid JSON: %(error)s."), path=path, error=error) from error
    if not isinstance(raw, dict) or raw.get("format") != FORMAT:
        raise _bad(gettext_noop("%(path)s is not a job of format %(format)s."), path=path, format=FORMAT)
    try:
        return _job(directory, raw)
    except KeyError as error:
        raise _bad(gettext_noop("%(path)s lacks %(name)s."), path=path, name=repr(error.args[0])) from error
    except (TypeError, ValueError, AttributeError, OverflowError) as error:
        if isinstance(error, recipes.RecipeError):
            raise
        said = gettext_noop("%(path)s has a value of the wrong type: %(error)s.")
        raise _bad(said, path=path, error=error) from error


def _job(directory: Path, raw: dict[str, Any]) -> Job:
    data, prompts = raw.get("data"), raw.get("prompts")
    reference, reward = raw.get("reference_model"), raw.get("reward_model")
    return Job(
        directory=directory,
        run=int(raw["run"]),
        recipe=str(raw["recipe"]),
        seed=int(raw["seed"]),
        config=recipes.load_kept(raw["recipe"], raw["config"]),
        model=_spec(raw["model"]),
        reference_model=_spec(reference) if reference else None,
        reward_model=_spec(reward) if reward else None,
        data=_data(data) if data else None,
        prompts=Path(prompts) if prompts else None,
        cache=Path(raw["cache"]),
        lineage=dict(raw.get("lineage") or {}),
        probes=Path(raw["probes"]) if raw.get("probes") else None,
        latency=bool(raw.get("latency")),
    )


def _data(raw: dict[str, Any]) -> Data:
    besides = {name: Path(raw[name]) for name in ("ties_train", "ties_test", "test_annotators") if raw.get(name)}
    unpaired = bool(raw.get("unpaired"))
    return Data(Path(raw["train"]), Path(raw["test"]), str(raw["snapshot_hash"]), **besides, unpaired=unpaired)


def _spec(raw: dict[str, Any]) -> ModelSpec:
    return ModelSpec(str(raw["base"]), tuple(str(adapter) for adapter in raw.get("adapters") or ()))


def _bad(message: str, **values: object) -> ModelError:
    hint = gettext_noop("Start the run again from its page, which writes the job anew.")
    return ModelError("bad_job", message, hint, **values)
