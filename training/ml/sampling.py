"""The recipe "sample": responses to prompts from a model, and from a second one beside it where the job names one; with
the reward model's score of each where the job names that."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any

from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from training.ml import cancel
from training.ml.batching import sorted_batches
from training.ml.chat import text_of
from training.ml.decoding import Completion, Drawing, complete, stop_ids
from training.ml.device import choose_device
from training.ml.errors import ModelError
from training.ml.forward import context_of
from training.ml.frozen_norm import norm_in_few_passes
from training.ml.job import Job, ModelSpec
from training.ml.lean_attention import attend_lean
from training.ml.load import load_tokenizer
from training.ml.notices import Notices
from training.ml.one_base import Models
from training.ml.packed import pack
from training.ml.progress import Progress, eta_seconds
from training.ml.prompts import Prompt, read_prompts
from training.ml.rewarding import RewardModel, load_rewarder, tell_of_cuts
from training.ml.samples import Samples, sample_seed
from training.ml.unusable import Unusable, usable_prompt
from training.recipes.one_base import NEW, OLD, REWARD
from training.recipes.sample import SampleConfig
from training.recipes.words import gettext_noop

# Of two models: prompts that both have answered before the rest is begun, so that the first comparison is soon there.
FIRST_TURN = 4
NO_ROOM = gettext_noop(
    "%(tokens)s tokens of prompt and %(room)s of response do not fit into the model's context of %(most)s"
)
TURN = 4  # batches of prompts that one model answers before the other does

Skipped = dict[int | str, Unusable]  # by prompt id


@dataclass(frozen=True)
class Voice:
    """One of the models that answer: `name` is "new" or "old"; `prompts` its token ids by prompt id."""

    name: str
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    stop: frozenset[int]
    prompts: dict[int | str, list[int]]


def run(job: Job) -> None:
    """Writes samples.jsonl as it goes, and result.json at the end."""
    started = time.monotonic()
    progress = Progress(job.directory)
    progress.status("loading")
    if job.prompts is None:
        hint = gettext_noop("Choose at least one prompt to sample.")
        raise ModelError("empty_data", gettext_noop("The job names no prompts."), hint)
    prompts = read_prompts(job.prompts)
    samples = Samples(job.directory, job.config.samples_per_prompt)
    device = choose_device()
    skipped: Skipped = {}
    specs = _specs(job)

    def on_convert() -> None:
        progress.status("converting")

    models = Models(list(specs.values()), cache=job.cache, device=device, on_convert=on_convert)
    voices = [_voice(name, specs[name], prompts, job, models, skipped) for name in (NEW, OLD) if name in specs]
    judge = _judge(prompts, job, models, skipped) if job.reward_model else None
    make_ready([*(voice.model for voice in voices), *([judge.model.model] if judge else [])])
    asked = [prompt for prompt in prompts if prompt.id not in skipped]
    if not asked:
        raise ModelError(
            "prompt_too_long",
            gettext_noop("No prompt can be put to the model. The first: %(why)s"),
            gettext_noop("Lower the longest response, shorten the prompts, or choose another model."),
            why=next(iter(skipped.values())),
        )
    facts = {"device": device.name, "precision": device.precision, "sharing": models.sharing(specs)}
    progress.status("sampling", asked=len(asked), skipped=len(skipped), **facts)
    pace = _Pace(progress, samples, total=len(asked) * len(voices))
    lengths = [len(voices[0].prompts[prompt.id]) for prompt in asked]
    # In a turn, the next prompt begins where a response has ended; with one model there is nothing to wait for.
    turn, first = len(asked), None
    if len(voices) > 1:
        turn, first = TURN * job.config.batch_size, min(FIRST_TURN, job.config.batch_size)
    for indices in sorted_batches(lengths, turn, first=first):
        # Both models answer the same prompts before the next turn begins: old and new can be compared early.
        for voice in voices:
            _answer(voice, [asked[index] for index in indices], job, samples, pace, judge)
    _write_result(job, samples, skipped, pace, seconds=time.monotonic() - started, **facts)


def make_ready(models: list[nn.Module]) -> None:
    """They are only asked from here on: what can be laid out once for that is."""
    for model in models:
        norm_in_few_passes(model.requires_grad_(False))
        attend_lean(model)
    pack(*models)


def _specs(job: Job) -> dict[str, ModelSpec]:
    """All models of the run, by name."""
    named = {NEW: job.model, OLD: job.reference_model, REWARD: job.reward_model}
    return {name: spec for name, spec in named.items() if spec}


def _voice(
    name: str,
    spec: ModelSpec,
    prompts: list[Prompt],
    job: Job,
    models: Models,
    skipped: Skipped,
) -> Voice:
    """The loaded model with its prompts as tokens; a prompt that it cannot take is noted in `skipped`."""
    cancel.check()
    tokenizer = load_tokenizer(spec, cache=job.cache, on_convert=models.on_convert)
    # Asked before the weights are loaded: a missing template is told in seconds.
    ids = _token_ids(tokenizer, prompts, skipped)
    model = models.speaker(spec)
    _require_room(model, ids, job.config, skipped)
    return Voice(name, model, tokenizer, stop_ids(model, tokenizer), ids)


def _token_ids(
    tokenizer: PreTrainedTokenizerBase, prompts: list[Prompt], skipped: Skipped
) -> dict[int | str, list[int]]:
    ids = {}
    for prompt in prompts:
        try:
            ids[prompt.id] = usable_prompt(tokenizer, prompt.messages)
        except Unusable as why:
            skipped[prompt.id] = why
    return ids


def _require_room(
    model: PreTrainedModel, ids: dict[int | str, list[int]], config: SampleConfig, skipped: Skipped
) -> None:
    context = context_of(model)
    for prompt, tokens in ids.items():
        if context and len(tokens) + config.max_new_tokens > context:
            skipped[prompt] = Unusable(NO_ROOM, tokens=len(tokens), room=config.max_new_tokens, most=context)


@dataclass(frozen=True)
class Judge:
    """The reward model, and where it is told that it could not read a response to its end."""

    model: RewardModel
    notices: Notices

    def scored(self, prompt: Prompt, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Of responses to one prompt: each with its score, and whether that is of its beginning alone."""
        scores = self.model.scores_of(prompt, [row["text"] for row in rows])
        tell_of_cuts(self.notices, self.model.cut)
        facts = zip(rows, scores, self.model.unread, strict=True)
        return [row | {"score": score, "truncated": unread} for row, score, unread in facts]


def _judge(prompts: list[Prompt], job: Job, models: Models, skipped: Skipped) -> Judge:
    """The loaded reward model; a prompt that leaves it no room is noted in `skipped`."""
    cancel.check()
    model = load_rewarder(job, models.device, models.reward_model)
    for prompt in prompts:
        try:
            model.require_room(prompt.messages)
        except Unusable as why:
            skipped.setdefault(prompt.id, why)
    return Judge(model, Notices(job.directory))


def _answer(voice: Voice, batch: list[Prompt], job: Job, samples: Samples, pace: _Pace, judge: Judge | None) -> None:
    """Draws the batch's missing responses and writes those of a prompt as soon as they have all ended, scored: a group
    that is there has its scores."""
    config = job.config
    todo = [prompt for prompt in batch if (prompt.id, voice.name) not in samples.done]
    if not todo:
        return
    count = config.samples_per_prompt
    seeds = [[sample_seed(job.seed, prompt.id, voice.name, index) for index in range(count)] for prompt in todo]
    groups: list[dict[int, dict[str, Any]]] = [{} for _ in todo]
    drawing = Drawing(config.temperature, config.top_p, config.max_new_tokens)
    ids = [voice.prompts[prompt.id] for prompt in todo]
    completions = complete(
        voice.model,
        ids,
        seeds,
        stop=voice.stop,
        pad_id=voice.tokenizer.pad_token_id,
        drawing=drawing,
        rows=config.batch_size * count,
    )
    drawn = 0
    for completion in completions:
        place, index = divmod(completion.row, count)
        groups[place][index] = _row(voice, todo[place], index, seeds[place][index], completion)
        pace.tokens += completion.drawn - drawn
        drawn = completion.drawn
        if len(groups[place]) == count:
            rows = [groups[place][index] for index in range(count)]
            samples.add(judge.scored(todo[place], rows) if judge else rows)
            pace.tell()


def _row(voice: Voice, prompt: Prompt, index: int, seed: int, completion: Completion) -> dict[str, Any]:
    return {
        "prompt": prompt.id,
        "model": voice.name,
        "index": index,
        "text": text_of(voice.tokenizer, completion.ids),
        "tokens": len(completion.ids),
        "finished": completion.finished,
        "seed": seed,
    }


class _Pace:
    """Counts what this process has drawn, and tells the speed and the time left."""

    def __init__(self, progress: Progress, samples: Samples, *, total: int) -> None:
        self.progress, self.samples, self.total = progress, samples, total
        self.resumed_at = len(samples.done)
        self.started = time.monotonic()
        self.tokens = 0

    @property
    def tokens_per_second(self) -> float:
        return round(self.tokens / max(time.monotonic() - self.started, 1e-6), 1)

    def tell(self) -> None:
        here = len(self.samples.done) - self.resumed_at
        seconds = time.monotonic() - self.started
        self.progress.step(
            "sampling",
            step=len(self.samples.done),
            steps=self.total,
            tokens_per_second=self.tokens_per_second,
            eta_seconds=eta_seconds(done=here, total=self.total - self.resumed_at, seconds=seconds),
        )


def _write_result(job: Job, samples: Samples, skipped: Skipped, pace: _Pace, *, seconds: float, **facts: str) -> None:
    rows = samples.all()
    metrics = {
        "mean_tokens": sum(row["tokens"] for row in rows) / len(rows),
        "empty": sum(not row["text"] for row in rows),
        "tokens_per_second": pace.tokens_per_second,
        "seconds": round(seconds, 1),
    }
    if job.reward_model:
        metrics["mean_score"] = sum(row["score"] for row in rows) / len(rows)
        metrics["truncated"] = sum(row["truncated"] for row in rows)
    result = {
        "format": 1,
        "samples": len(rows),
        "finished": sum(row["finished"] for row in rows),
        "skipped": [why.row(prompt, "prompts") for prompt, why in skipped.items()],
        "metrics": metrics,
        **facts,
    }
    temporary = job.directory / "result.json.tmp"
    temporary.write_text(json.dumps(result, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    temporary.replace(job.directory / "result.json")
