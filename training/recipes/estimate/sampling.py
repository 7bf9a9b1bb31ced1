"""What a sampling run takes: memory at its peak, disk, and time; from config.json's and the lengths of the prompts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from training.recipes import load
from training.recipes.estimate.activations import HALF, SINGLE, repeated_for_reading
from training.recipes.estimate.advice import Advice
from training.recipes.estimate.answering import Answering, Loaded
from training.recipes.estimate.layout import Architecture
from training.recipes.estimate.memory import HEAP, PARTS, Memory
from training.recipes.estimate.table import Estimate, Machine
from training.recipes.estimate.throughput import FP32, LOADED, STARTED, Data, Durations, Speed
from training.recipes.sample import SampleConfig
from training.recipes.shared_rows import deal

TURN = 4  # batches of prompts that one of two models answers before the other does (training/ml/sampling.py)
LINE = 250  # bytes of a response on the disk beside its text, as a line of samples.jsonl and as rows
TEXT = 2 * 4  # bytes of a token's text, in both places
# Of each logit while a nucleus is drawn from whose tokens are not among the likeliest few: logits, probabilities and
# their sorted copy (4 each), its places (8), and in double precision that copy, its sum and a difference (8 each).
NUCLEUS = 48
LEAST_RESPONSE = 16  # tokens: shorter ones are no advice


@dataclass(frozen=True)
class Sampling:
    """All that is known of a run but its settings. `prompts` are lengths in tokens, of `data.examples` prompts or of
    the first of them; `response` is the mean length of a response, None where no earlier run has told it."""

    loaded: Loaded
    prompts: tuple[int, ...]
    machine: Machine
    data: Data
    speed: Speed
    response: float | None = None
    recipe: str = "sample"
    processes: int = 1

    @property
    def model(self) -> Architecture:
        return self.loaded.new.model

    @property
    def longest(self) -> int:
        return max(self.prompts, default=0)


def estimate_sampling(asked: Sampling, config: SampleConfig) -> Estimate:
    held = memory_of(asked, config)
    return Estimate(
        recipe="sample",
        adapter="",
        config=config,
        memory=held,
        disk=_disk(asked, config),
        durations=durations_of(asked, config),
        fits=asked.machine.fits(held),
        base=asked.model.policy,
    )


def nearest_sampling(asked: Sampling, config: SampleConfig) -> Advice | None:
    """The first that fits of: fewer prompts at once, which changes no response; shorter responses. None where nothing
    fits, or all does."""
    if estimate_sampling(asked, config).fits:
        return None
    for changed in _smaller(config):
        found = estimate_sampling(asked, load("sample", {**asdict(config), **changed}))
        if found.fits:
            return Advice(changed, found)
    return None


def _smaller(config: SampleConfig) -> list[dict[str, Any]]:
    sizes = [config.batch_size >> times for times in range(1, config.batch_size.bit_length())]
    found: list[dict[str, Any]] = [{"batch_size": size} for size in sizes]
    least, length = {"batch_size": sizes[-1]} if sizes else {}, config.max_new_tokens // 2
    while length >= LEAST_RESPONSE:
        found.append({**least, "max_new_tokens": length})
        length //= 2
    return found


def memory_of(asked: Sampling, config: SampleConfig) -> Memory:
    """At the peak: all models, and the cache and the working memory of whichever of them takes the most. The two that
    answer do so in turns, and leave no cache behind."""
    itemsize = HALF if asked.machine.device == "gpu" else SINGLE
    parts = dict.fromkeys(PARTS, 0) | asked.loaded.parts(itemsize)
    fixed = sum(parts.values())
    moments = [_drawing(voice, asked, config, itemsize) for voice in asked.loaded.voices]
    cache, working = max(moments, key=sum)
    parts["kv_cache"] = cache
    scoring = _scoring(asked, config, itemsize)
    loading = asked.loaded.loading(itemsize) - fixed - cache
    parts["activations"] = max(working, scoring, loading, 0)
    return Memory(parts, round(HEAP * parts["activations"]) if asked.machine.device == "cpu" else 0)


def _drawing(voice: Answering, asked: Sampling, config: SampleConfig, itemsize: int) -> tuple[int, int]:
    """Bytes of the cache, and the most beside it: while prompts are read, while that of a padded batch grows, in a
    step."""
    model, turn, size = voice.model, _turn(asked, config), config.batch_size
    rows = min(size, len(turn)) * config.samples_per_prompt
    token = 2 * model.layers * model.keys * itemsize
    room = max(turn) + config.max_new_tokens + (0 if voice.in_slots else voice.virtual)
    cache = rows * room * token
    # A padded batch holds a layer twice while it grows by a token.
    moments = [rows * model.vocabulary * NUCLEUS + (0 if voice.in_slots else cache // model.layers)]
    if voice.in_slots:
        # The first prompts are read before there is a cache. Where all responses are cut, as many come at once later.
        first, later = turn[:size], turn[size:][-size:]
        moments += [_reading(voice, first, itemsize) - cache, sum(first) * token]
        moments += [_reading(voice, later, itemsize) + rows * model.vocabulary * SINGLE, sum(later) * token]
    else:
        moments.append(_reading(voice, turn[-size:], itemsize) - cache)
    return cache, max(moments)


def _turn(asked: Sampling, config: SampleConfig) -> Sequence[int]:
    """The prompts that are drawn from in one go, shortest first: those with the longest of the run among them."""
    ordered = sorted(asked.prompts) or [1]
    return ordered if len(asked.loaded.voices) == 1 else ordered[-TURN * config.batch_size :]


def _reading(voice: Answering, prompts: Sequence[int], itemsize: int) -> int:
    """Of prompts that are read at once: keys and values of all layers, and once more as they are taken out of rows; or
    the states of one block; the mask, and the logits after each prompt."""
    if not prompts:
        return 0
    model, lengths = voice.model, [length + voice.virtual for length in prompts]
    number, longest = _rows_of(lengths) if voice.in_slots else (len(lengths), max(lengths))
    tokens, kept = number * longest, 2 * model.layers * model.keys * itemsize
    masked = voice.in_slots or len(set(lengths)) > 1
    repeated = repeated_for_reading(model, longest) if itemsize == SINGLE else 0  # on a CPU
    mask = number * longest**2 * ((1 + repeated) * itemsize + 2) if masked else 0
    block = tokens * (5 * model.width + 3 * model.inner) * itemsize + mask
    logits = len(lengths) * model.vocabulary * SINGLE
    return tokens * kept + max(block, (sum(lengths) * kept if voice.in_slots else 0) + logits)


def _rows_of(lengths: Sequence[int]) -> tuple[int, int]:
    """How many rows these texts are laid into, and how long they are."""
    places = deal(lengths)
    loads = [0] * (max(places) + 1)
    for length, row in zip(lengths, places, strict=True):
        loads[row] += length
    return len(loads), max(loads)


def _scoring(asked: Sampling, config: SampleConfig, itemsize: int) -> int:
    """Of the responses to one prompt, while others are being drawn."""
    if asked.loaded.reward is None:
        return 0
    rows = min(config.samples_per_prompt, config.batch_size)
    return asked.loaded.reward.scoring(rows, asked.longest + config.max_new_tokens, itemsize)


def _disk(asked: Sampling, config: SampleConfig) -> dict[str, int]:
    """As samples.jsonl and in the database; nothing else is left."""
    responses = asked.data.examples * config.samples_per_prompt * len(asked.loaded.voices)
    product = round(responses * (2 * LINE + TEXT * (asked.response or config.max_new_tokens)))
    return {"product": product, "checkpoint": 0, "total": product}


def durations_of(asked: Sampling, config: SampleConfig) -> Durations | None:
    """Of a whole run. Of responses as long as they may be, where no earlier run has told how long they are."""
    speed, count = asked.speed, asked.data.examples
    if not speed.operations_per_second or not count:
        return None
    response = min(asked.response or config.max_new_tokens, config.max_new_tokens)
    responses = count * config.samples_per_prompt
    rows = min(config.batch_size * config.samples_per_prompt, responses)
    reading = drawing = 0.0
    for voice in asked.loaded.voices:
        reading += 2.0 * voice.model.policy * count * asked.data.tokens / speed.operations_per_second
        drawing += _steps(responses, response, rows) * _step(voice.model, rows, speed)
    parts = {"loading": STARTED + FP32 * asked.loaded.numbers() / LOADED, "reading": reading, "drawing": drawing}
    parts["scoring"] = _seconds_of_scores(asked, responses * (asked.data.tokens + response))
    rest = ("loading",)
    return Durations({name: took * (speed.rest if name in rest else speed.learning) for name, took in parts.items()})


def _steps(responses: int, tokens: float, rows: int) -> float:
    return tokens * max(responses / rows, 1.0)


def _step(model: Architecture, rows: int, speed: Speed) -> float:
    """A step of few rows waits for the weights, one of many for the products."""
    step = 2.0 * model.policy * rows / speed.operations_per_second
    return max(step, FP32 * model.policy / speed.bytes_per_second) if speed.bytes_per_second else step


def _seconds_of_scores(asked: Sampling, tokens: float) -> float:
    reward = asked.loaded.reward
    if reward is None:
        return 0.0
    each = 2.0 * reward.model.body * reward.separate / asked.speed.operations_per_second
    return tokens * len(asked.loaded.voices) * each


def corrected(asked: Sampling, config: SampleConfig, drawn: float, whole: float, told: str) -> Sampling:
    """By an earlier run of these settings, which took `drawn` seconds to write and `whole` from its start."""
    computed = durations_of(asked, config)
    if computed is None:
        return asked
    loading = computed.parts["loading"]
    learning = drawn / (computed.total - loading)
    rest = max(whole - drawn, 0.0) / loading
    return replace(asked, speed=replace(asked.speed, source="earlier run", learning=learning, rest=rest, told=told))
