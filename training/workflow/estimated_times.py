"""What a run's time is estimated from: the texts it will read, and how long an earlier run like it took."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import pyarrow.parquet

from annotate.models import DemonstrationSet, FeedbackSet, Project, Snapshot, Split
from annotate.workflow import snapshots
from annotate.workflow.held_out import TEST_ANNOTATORS
from annotate.workflow.intake import content_hash
from training.models import Artifact, ProbeSet, Run, RunState
from training.recipes import load
from training.recipes.adapters import HEAD
from training.recipes.errors import RecipeError
from training.recipes.estimate import (
    DRAWN,
    ITEMS,
    REFERENCED,
    Data,
    Durations,
    Kept,
    Machine,
    Question,
    Speed,
    estimate,
)
from training.recipes.reward import separate_adapters
from training.workflow import configs, device
from training.workflow.cloning import known_settings
from training.workflow.exceptions import BadConfig, BadInput
from training.workflow.probes import shipped_probes
from training.workflow.probing import demonstrations_for, held_out_of, is_probed, shipped_texts
from training.workflow.rewarders import rewarder_of

# Bytes of UTF-8 to a token, our choice: four letters of English, one or two characters of Chinese.
BYTES_PER_TOKEN = 4
TEMPLATE_TOKENS = 30  # of a text, our choice: chat templates bring a system prompt and the marks of the turns
LOOKED_AT = 500  # rows of a data set, enough for a mean
RECENT = 20  # runs among which one is looked for
# Of a device on which nothing was measured but a run: what is computed from it is told only as far as that run bears.
NOMINAL = Speed(operations_per_second=1e14, bytes_per_second=1e12, nominal=True)
COLUMNS = {"sft": ("prompt", "response"), **dict.fromkeys(DRAWN, ("prompt",))}
OF_VOTES = ("prompt", "completion")
OF_PAIRS = ("prompt", "chosen", "rejected")
Found = TypeVar("Found")


@dataclass(frozen=True)
class Lengths:
    """Mean tokens of an example, and those of its prompt that a pair has twice."""

    tokens: float = 0.0
    prompt: float = 0.0


def earlier_runs(model: Artifact) -> list[Run]:
    """The newest that were trained on it and have an artifact, the last one first."""
    runs = model.project.runs.filter(model=model, state=RunState.SUCCEEDED, artifact__isnull=False)
    related = ("artifact", "snapshot", "demonstrations", "feedback", "reward_model__run")
    return list(runs.select_related(*related).order_by("-id")[:RECENT])


def data_of(
    recipe: str,
    model: Artifact,
    snapshot: Snapshot | None,
    demonstrations: DemonstrationSet | None,
    kept: frozenset[Kept] = frozenset(),
    grouped: bool = False,
    feedback: FeedbackSet | None = None,
) -> Data:
    """The training and the held-out split, by the length of their texts, and what the policy is probed with. `grouped`:
    all pairs of a prompt are one example."""
    source = demonstrations if recipe == "sft" else snapshot or feedback
    if source is None:
        return Data(0, 0)
    train, test = (_path(source, split) for split in (Split.TRAIN, Split.TEST))
    examples, held_out = (source.counts.get(split, 0) for split in ("train", "test"))
    if recipe == "reward":
        held_out += source.counts.get(TEST_ANNOTATORS, 0)
    if recipe in DRAWN:
        examples, held_out = _if_here(_distinct_prompts, train, test, otherwise=(examples, held_out))
    columns = OF_VOTES if source is feedback else COLUMNS.get(recipe, OF_PAIRS)
    lengths = _if_here(_mean_lengths, train, columns, otherwise=Lengths())
    probed = _probed_tokens(model.project, demonstrations) if recipe != "reward" else 0.0
    if grouped and (found := _if_here(_responses, train, otherwise=())):
        tested = (test, str(Path(test).with_name(f"{TEST_ANNOTATORS}.parquet")))
        apart = sum(len(_if_here(_responses, path, otherwise=())) for path in tested)
        mean, others = sum(found) / len(found), apart or held_out
        tokens, again = mean * lengths.tokens / 2, (mean - 1) * lengths.prompt
        return Data(len(found), tokens, again, others, probed, kept, responses=max(found))
    items = ITEMS.get(recipe, 1) if source is snapshot else 1
    return Data(examples, lengths.tokens, lengths.prompt, held_out, probed, kept, items=items)


def is_grouped(recipe: str, settings: Mapping[str, Any]) -> bool:
    return recipe == "reward" and settings.get("group_by_prompt") is True


def _path(source: Snapshot | DemonstrationSet | FeedbackSet, split: Split) -> str:
    if isinstance(source, DemonstrationSet | FeedbackSet):
        return str(Path(source.folder) / f"{split}.parquet")
    return str(snapshots.parquet_path(source, split))


def _rows(path: str, columns: Iterable[str]) -> Iterator[dict[str, Any]]:
    """Not by `read_table`: it reads the whole file, and loads pandas, 50 MB, into the web process."""
    for batch in pyarrow.parquet.ParquetFile(path).iter_batches(batch_size=LOOKED_AT, columns=list(columns)):
        yield from batch.to_pylist()


def _if_here(read: Callable[..., Found], *places: Any, otherwise: Found) -> Found:
    """What `read` makes of files of frozen data, which never changes, so that it keeps it. That a file is not on this
    machine it does not keep: storage may be mounted later, and a worker's file may come."""
    try:
        return read(*places)
    except (OSError, pyarrow.ArrowException):
        return otherwise


@lru_cache(maxsize=256)
def _mean_lengths(path: str, wanted: tuple[str, ...]) -> Lengths:
    rows = list(islice(_rows(path, wanted), LOOKED_AT))
    if not rows:
        return Lengths()
    prompt = TEMPLATE_TOKENS + sum(_tokens(row["prompt"]) for row in rows) / len(rows)
    rest = sum(_tokens(row[name]) for row in rows for name in wanted[1:]) / len(rows)
    return Lengths(2 * prompt + rest, prompt) if wanted == OF_PAIRS else Lengths(prompt + rest)


@lru_cache(maxsize=64)
def _distinct_prompts(train: str, test: str) -> tuple[int, int]:
    """A recipe that draws answers each prompt once, and is measured on those that it does not learn from."""
    learned, held_out = ({content_hash(row["prompt"]) for row in _rows(path, ["prompt"])} for path in (train, test))
    return len(learned), len(held_out - learned)


@lru_cache(maxsize=64)
def _responses(path: str) -> tuple[int, ...]:
    """Different ones to each prompt."""
    found: dict[str, set[str]] = {}
    for row in _rows(path, OF_PAIRS):
        answers = found.setdefault(content_hash(row["prompt"]), set())
        answers |= {content_hash(row["chosen"]), content_hash(row["rejected"])}
    return tuple(map(len, found.values()))


def prompt_tokens(messages: Iterable[dict[str, str]]) -> float:
    """About as many as a model reads of a prompt: no tokenizer is loaded here."""
    return TEMPLATE_TOKENS + _tokens(messages)


def _tokens(messages: Iterable[dict[str, str]] | None) -> float:
    return sum(len(turn["content"].encode()) for turn in messages or []) / BYTES_PER_TOKEN


def _probed_tokens(project: Project, demonstrations: DemonstrationSet | None) -> float:
    """Of a question the choices, and once what stands before them."""
    shipped = shipped_probes()
    total = _questions(shipped.content_hash) + _texts(shipped_texts()["rows"])
    total += sum(_questions(one) for one in project.probe_sets.values_list("content_hash", flat=True))
    asked = demonstrations or demonstrations_for(project)
    return total + (_held_out(asked.content_hash) if asked else 0.0)


@lru_cache(maxsize=256)
def _questions(content_hash: str) -> float:
    """Of a set of questions, which is named by its content."""
    shipped = shipped_probes()
    stored = (
        None if content_hash == shipped.content_hash else ProbeSet.objects.filter(content_hash=content_hash).first()
    )
    rows = stored.rows if stored else shipped.rows
    return sum(TEMPLATE_TOKENS + _tokens(row["messages"]) + _bytes(row["choices"]) for row in rows)


@lru_cache(maxsize=64)
def _held_out(content_hash: str) -> float:
    found = DemonstrationSet.objects.filter(content_hash=content_hash).first()
    return _texts(held_out_of(found)) if found else 0.0


def _texts(rows: Iterable[dict[str, Any]]) -> float:
    return sum(_tokens(row.get("messages")) + _bytes([row["text"]]) for row in rows)


def _bytes(texts: Iterable[str]) -> float:
    return sum(len(text.encode()) for text in texts) / BYTES_PER_TOKEN


def kept_from(
    earlier: Iterable[Run], settings: dict[str, Any], source: Snapshot | FeedbackSet | None, machine: Machine
) -> frozenset[Kept]:
    """What runs on the same model, in the same precision, have kept: it is not computed again."""
    found: set[Kept] = set()
    for run in earlier:
        packed = [one.get("adapter") == "qlora" for one in (run.config, settings)]
        if _on_cpu(run) != (machine.device == "cpu") or packed[0] != packed[1]:
            continue
        if is_probed(run):
            found.add("probes")
        if source is None or source not in (run.snapshot, run.feedback):
            continue
        if run.config.get("adapter") == HEAD:
            found.add("features")
        elif run.recipe in REFERENCED:
            found.add("reference")
    return frozenset(found)


def _on_cpu(run: Run) -> bool:
    return run.artifact.manifest.get("device") == "cpu"


def speed_for(recipe: str, settings: dict[str, Any], machine: Machine, earlier: Iterable[Run]) -> Speed:
    """As measured on this machine, corrected by what the newest run of the recipe took: one with the same adapter, or
    else any. Where nothing is known of the device, by that run alone."""
    known = device.speed(machine.device)
    base = known if known.operations_per_second else NOMINAL
    for run in _alike(recipe, settings, machine, earlier):
        computed = _computed(run, machine, base)
        trained, took = run.artifact.manifest.get("seconds"), run.time_taken
        if computed is None or not trained or not took:
            continue
        rest = max(took.total_seconds() - trained, 0.0) / computed.rest
        learning = trained / computed.training if computed.training else 1.0
        by_head = run.config.get("adapter") == HEAD
        return replace(base, source="earlier run", learning=learning, rest=rest, by_head=by_head, told=str(run))
    return known


def _alike(recipe: str, settings: dict[str, Any], machine: Machine, earlier: Iterable[Run]) -> list[Run]:
    """Made at one go and by one process, on a device of this kind; those with the same adapter first. A head on
    features that are read once says nothing of the others, nor they of it."""
    adapter = settings.get("adapter", "lora")
    adapters = separate_adapters({**settings, "adapter": adapter})
    found = [
        run
        for run in earlier
        if run.recipe == recipe
        and run.attempt <= 1
        and run.artifact.manifest.get("processes", 1) == 1
        and _on_cpu(run) == (machine.device == "cpu")
        and (run.config.get("adapter") == HEAD) == (adapter == HEAD)
    ]

    def differs(run: Run) -> bool:
        return (run.config.get("adapter"), separate_adapters(run.config)) != (adapter, adapters)

    return sorted(found, key=differs)


def _computed(run: Run, machine: Machine, speed: Speed) -> Durations | None:
    """What would have been said of a run that is done; None where it can no longer be said."""
    told = run.artifact.manifest
    counts: dict[Kept, Any] = {
        "reference": told.get("reference"),
        "features": told.get("features"),
        "probes": ((told.get("metrics") or {}).get("tax") or {}).get("reference"),
    }
    kept = frozenset(name for name, one in counts.items() if one and not one.get("computed"))
    grouped = is_grouped(run.recipe, run.config)
    data = data_of(run.recipe, run.model, run.snapshot, run.demonstrations, kept, grouped, run.feedback)
    by_head = run.config.get("adapter") == HEAD
    try:
        reward = rewarder_of(run.reward_model, run.model) if run.reward_model else None
        model = configs.architecture_of(run.model)
        asked = Question(model, run.recipe, machine, data, replace(speed, by_head=by_head), reward=reward)
        return estimate(asked, load(run.recipe, known_settings(run))).durations
    except (BadInput, BadConfig, RecipeError):
        return None
