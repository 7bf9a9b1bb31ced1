"""What every recipe that trains a policy on a file of examples does alike, around its objective."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedTokenizerBase

from training.ml.adapters import apply_adapter, parameter_counts, require_change, save_weights, trainable_hash
from training.ml.alignment_tax import AlignmentTax
from training.ml.artifact import write_artifact
from training.ml.checkpoint import Position, base_of
from training.ml.device import Device, choose_device
from training.ml.dropout import switch_off_dropout
from training.ml.evaluate import Figures, headline
from training.ml.job import Job
from training.ml.load import load_policy, load_tokenizer
from training.ml.loop import Objective, train
from training.ml.machine import settle
from training.ml.precision import for_training
from training.ml.progress import Progress
from training.ml.reference import Reference, Start, frozen_start, model_key
from training.ml.side_by_side import Asked, answers, asked_of, old_and_new


@dataclass
class PolicyRun:
    """A loaded model with its adapter, and the examples. `reference` keeps log-probabilities of the start, for the
    recipes that ask for one; `facts` and `data` go into the manifest."""

    job: Job
    progress: Progress
    device: Device
    tokenizer: PreTrainedTokenizerBase
    model: nn.Module
    data: Any
    reference: Reference | None
    tax: AlignmentTax
    facts: dict[str, Any]

    @cached_property
    def start(self) -> Start:
        """Loaded when first asked for: where every weight is trained, it is a second model in memory."""
        return frozen_start(self.model, self.job.config, lambda: _loaded(self.job, self.device, self.progress))

    def train(self, objective: Objective, held_out: Sequence[Asked]) -> Position:
        """Where the training ended; meanwhile prompts of `held_out` are answered as often as the settings ask for.
        Raises ModelError if it has changed no weight."""
        untrained = trainable_hash(self.model)
        self.progress.status("training", data=self.data.counts(), **self.facts)
        where = {"seed": self.job.seed, "directory": self.job.directory, "progress": self.progress}
        where["begun_on"] = {"base": base_of(self.model)}
        how = {"by_item": self.job.config.by_item, "look": self._look(held_out)}
        end = train(self.model, self.data.train, objective, self.job.config, **where, **how)
        require_change(self.model, untrained)
        self.progress.status("evaluating")
        return end

    def _look(self, held_out: Sequence[Asked]) -> Callable[[int], None]:
        every = self.job.config.samples_every
        chosen = asked_of(self.model, held_out) if every else []

        def look(number: int) -> None:
            if not chosen or number % every or self.progress.has_samples(number):
                return
            self.model.eval()
            texts = answers(self.model, self.tokenizer, chosen, self.job.seed)
            self.model.train()
            rows = [{"prompt": one.prompt, "text": text} for one, text in zip(chosen, texts, strict=True)]
            self.progress.samples(number, rows)

        return look

    def finish(self, end: Position, metrics: Figures, held_out: list[Any], **facts: Any) -> None:
        """Measure what was unlearned, answer prompts of `held_out` as before and as now, write the artifact."""
        self.progress.evaluation(metrics=headline(metrics), step=end.step)
        metrics |= self.tax.figures(self.model, self.start, self.progress)
        self.progress.status("evaluating", what="answers")
        metrics["samples"] = old_and_new(self.model, self.start, self.tokenizer, held_out, seed=self.job.seed)
        self.progress.status("saving")
        written = {
            "kind": self.job.config.artifact_kind,
            "task": "policy",
            "config": asdict(self.job.config),
            "parameters": parameter_counts(self.model),
            "metrics": metrics,
            "data": self.data.facts(),
            "seconds": end.seconds,
            **self.facts,
            **facts,
        }
        write_artifact(self.job, lambda directory: save_weights(self.model, self.tokenizer, directory), written)


def begin(
    job: Job,
    load: Callable[..., Any],
    rows: int,
    *,
    with_reference: bool = False,
    own_dropout: bool = False,
    beside_its_start: bool = False,
) -> PolicyRun:
    """`load` reads the examples, of `rows` sequences each; `own_dropout` leaves the model's on; `beside_its_start`: it
    asks for its start while it learns. Raises ModelError for every known failure."""
    config, progress = job.config, Progress(job.directory)
    device = for_training(choose_device(), config)
    progress.status("loading")
    tokenizer = load_tokenizer(job.model, **_source(job, progress))
    model = _loaded(job, device, progress)
    data = load(job.data, tokenizer, model, config.max_length)
    progress.left_out(data.dropped)
    key = model_key(model, tokenizer, config) if with_reference else None
    tax = AlignmentTax(job, model, tokenizer, key)
    if not own_dropout:
        switch_off_dropout(model)
    torch.manual_seed(job.seed)  # draws the adapter
    model = apply_adapter(model, config, "policy")
    second = beside_its_start and config.artifact_kind != "adapter"  # as `frozen_start` decides
    to_come = sum(weight.nbytes for weight in model.parameters()) if second else 0
    facts = settle(model, config, device, data.train, rows, to_come=to_come)
    reference = Reference(job.cache, key) if key else None
    return PolicyRun(job, progress, device, tokenizer, model, data, reference, tax, facts)


def _loaded(job: Job, device: Device, progress: Progress) -> nn.Module:
    return load_policy(job.model, device=device, **_source(job, progress))


def _source(job: Job, progress: Progress) -> dict[str, Any]:
    return {"cache": job.cache, "on_convert": lambda: progress.status("converting")}
