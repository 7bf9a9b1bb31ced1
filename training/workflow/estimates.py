"""Estimates for what a person is about to start: the model's config.json, the data, the machine, earlier runs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow.parquet

from annotate.models import DemonstrationSet, Project, Snapshot, Split
from annotate.workflow import snapshots
from training.models import Artifact, Run, RunState
from training.recipes import load
from training.recipes.estimate import (
    Advice,
    Data,
    Estimate,
    Machine,
    Question,
    Rewarder,
    Speed,
    estimate,
    every_method,
    nearest_that_fits,
)
from training.recipes.reward import separate_adapters
from training.workflow import configs, device
from training.workflow.folders import progress_of
from training.workflow.refusals import refused_in_words, require_rewarded
from training.workflow.rewarders import rewarder_of, rewarder_to_be
from training.workflow.storable import storable

# Bytes of UTF-8 to a token, our choice: four letters of English, one or two characters of Chinese.
BYTES_PER_TOKEN = 4
LOOKED_AT = 500  # rows of a data set, enough for a mean
RECENT = 20  # runs whose speed is looked for


@dataclass(frozen=True)
class Answer:
    """The chosen method, every method, and what comes nearest and fits where the chosen one does not."""

    question: Question
    chosen: Estimate
    methods: list[Estimate]
    advice: Advice | None


def answer(question: Question, settings: dict[str, Any]) -> Answer:
    """Raises BadConfig for a setting that the recipe or the model refuses."""
    with refused_in_words(question.recipe):
        config = load(question.recipe, settings)
        chosen = estimate(question, config)
    return Answer(question, chosen, every_method(question, config), nearest_that_fits(question, config))


def question(
    config: dict[str, Any],
    recipe: str,
    machine: Machine,
    data: Data,
    speed: Speed,
    response: int | None = None,
    reward: Rewarder | None = None,
) -> Question:
    """Raises BadConfig for a config.json that cannot be used."""
    return Question(configs.architecture(config), recipe, machine, data, speed, response, reward)


def asked_of(
    project: Project,
    recipe: str,
    model: Artifact,
    settings: dict[str, Any],
    *,
    snapshot: Snapshot | None = None,
    demonstrations: DemonstrationSet | None = None,
    reward: Artifact | Mapping[str, Any] | None = None,
    machine: Machine | None = None,
) -> Answer:
    """For a run of the project; `reward` is its reward model, or the settings of one that will be trained on the same
    policy. Raises BadInput where the config.json is not here yet or the recipe uses no reward model, and as `answer`
    does."""
    if reward is not None:
        require_rewarded(recipe)
    machine = machine or device.machine()
    speed = earlier_speed(project, recipe, model, settings, machine) or Speed()
    speed = replace(device.speed(machine.device), **_known(speed))
    asked = question(
        configs.config_of(model),
        recipe,
        machine,
        data_of(recipe, snapshot, demonstrations),
        speed,
        reward=_rewarder(reward, model),
    )
    return answer(asked, settings)


def _rewarder(reward: Artifact | Mapping[str, Any] | None, policy: Artifact) -> Rewarder | None:
    if reward is None:
        return None
    return rewarder_of(reward, policy) if isinstance(reward, Artifact) else rewarder_to_be(reward, policy)


def _known(speed: Speed) -> dict[str, Any]:
    if not speed.tokens_per_second:
        return {}
    return {"source": speed.source, "tokens_per_second": speed.tokens_per_second, "told": speed.told}


def data_of(recipe: str, snapshot: Snapshot | None, demonstrations: DemonstrationSet | None) -> Data:
    """How many examples of the training split, and of how many tokens each by the length of its texts."""
    if recipe == "sft" and demonstrations is not None:
        path, counts = Path(demonstrations.folder) / f"{Split.TRAIN}.parquet", demonstrations.counts
    elif recipe != "sft" and snapshot is not None:
        path, counts = snapshots.parquet_path(snapshot, Split.TRAIN), snapshot.counts
    else:
        return Data(0, 0)
    return Data(counts.get("train", 0), _mean_tokens(str(path), recipe))


@lru_cache(maxsize=256)
def _mean_tokens(path: str, recipe: str) -> float:
    """Frozen data never changes, so this is read once. 0 where the file is not on this machine."""
    columns = {"sft": ("prompt", "response"), "ppo": ("prompt",), "rloo": ("prompt",), "grpo": ("prompt",)}
    wanted = columns.get(recipe, ("prompt", "prompt", "chosen", "rejected"))  # each side stands behind the prompt
    try:
        # Not `read_table`: it reads the whole file, and loads pandas, 50 MB, into the web process.
        batches = pyarrow.parquet.ParquetFile(path).iter_batches(batch_size=LOOKED_AT, columns=sorted(set(wanted)))
        rows = [row for batch in islice(batches, 1) for row in batch.to_pylist()]
    except (OSError, pyarrow.ArrowException):
        return 0.0
    sizes = [len(turn["content"].encode()) for row in rows for name in wanted for turn in row[name] or []]
    return sum(sizes) / BYTES_PER_TOKEN / len(rows) if rows else 0.0


def earlier_speed(
    project: Project, recipe: str, model: Artifact, settings: dict[str, Any], machine: Machine
) -> Speed | None:
    """Tokens a second of the newest finished run with this recipe, model and adapter, on a device of this kind."""
    adapter = settings.get("adapter", "lora")
    adapters = separate_adapters({**settings, "adapter": adapter})
    runs = project.runs.filter(recipe=recipe, model=model, state=RunState.SUCCEEDED).select_related("artifact")
    for run in runs.order_by("-id")[:RECENT]:
        product = getattr(run, "artifact", None)
        on_cpu = product is not None and product.manifest.get("device") == "cpu"
        same = run.config.get("adapter") == adapter and separate_adapters(run.config) == adapters
        like_it = same and on_cpu == (machine.device == "cpu")
        alone = product is not None and product.manifest.get("processes", 1) == 1
        if alone and like_it and (rate := _tokens_per_second(run)):
            return Speed("earlier run", tokens_per_second=rate, told=str(run))
    return None


def _tokens_per_second(run: Run) -> float:
    """Of the last step that it told of."""
    try:
        lines = progress_of(run).read_text(encoding="utf-8").splitlines()
    except OSError:
        return 0.0
    for line in reversed(lines):
        told = storable(json.loads(line)) if line.strip() else {}
        if told.get("kind") == "step" and isinstance(told.get("tokens_per_second"), int | float):
            return float(told["tokens_per_second"])
    return 0.0
