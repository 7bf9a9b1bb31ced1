"""Recipe "simpo": trains a policy on pairs by mean log-probabilities, without a reference (Meng et al. 2024)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import torch
from torch import nn

from training.ml.adapters import apply_adapter, parameter_counts, require_change, save_weights, trainable_hash
from training.ml.alignment_tax import AlignmentTax
from training.ml.artifact import write_artifact
from training.ml.device import choose_device
from training.ml.evaluate import headline
from training.ml.job import Job
from training.ml.load import load_policy, load_tokenizer
from training.ml.loop import Objective, Outcome, train
from training.ml.machine import settle
from training.ml.pairs import Pair, load_pairs
from training.ml.policy_figures import figures_before, preference_figures
from training.ml.precision import for_training
from training.ml.preference_losses import target_margin
from training.ml.progress import Progress
from training.ml.reference import frozen_start
from training.ml.side_by_side import old_and_new
from training.ml.token_logps import both_sides, means, token_logps
from training.recipes.simpo import SimPOConfig


def run(job: Job) -> None:
    """Load, prepare, train, evaluate, write the artifact. Raises ModelError for every known failure."""
    config, progress = job.config, Progress(job.directory)
    device = for_training(choose_device(), config)
    source = {"cache": job.cache, "on_convert": lambda: progress.status("converting")}

    progress.status("loading")
    tokenizer = load_tokenizer(job.model, **source)
    model = load_policy(job.model, device=device, **source)
    data = load_pairs(job.data, tokenizer, model, config.max_length)
    tax = AlignmentTax(job, model, tokenizer)
    torch.manual_seed(job.seed)  # draws the adapter
    model = apply_adapter(model, config, "policy")
    machine = settle(model, config, device, data.train, rows=2)
    untrained = trainable_hash(model)

    progress.status("training", data=data.counts(), **machine)
    objective = simple_preference(model, config)
    where = {"seed": job.seed, "directory": job.directory, "progress": progress}
    end = train(model, data.train, objective, config, **where, by_item=config.by_item)
    require_change(model, untrained)

    progress.status("evaluating")
    start = frozen_start(model, config, lambda: load_policy(job.model, device=device, **source))
    metrics = preference_figures(model, start, objective, data.test, config.batch_size)
    with start() as frozen:
        metrics |= figures_before(simple_preference(frozen, config), data.test, config.batch_size)
    progress.evaluation(metrics=headline(metrics), step=end.step)
    metrics |= tax.figures(model, start, progress)
    metrics["samples"] = old_and_new(model, start, tokenizer, data.test, seed=job.seed)

    progress.status("saving")
    facts: dict[str, Any] = {
        "kind": config.artifact_kind,
        "task": "policy",
        "config": asdict(config),
        "parameters": parameter_counts(model),
        "metrics": metrics,
        "data": data.facts(),
        "seconds": end.seconds,
        **machine,
    }
    write_artifact(job, lambda directory: save_weights(model, tokenizer, directory), facts)


def simple_preference(model: nn.Module, config: SimPOConfig) -> Objective:
    """-log sigmoid of the margin less its target, times the pair's weight; the margin is beta times the difference of
    the mean log-probabilities per token."""

    def objective(batch: Sequence[Pair]) -> Outcome:
        chosen, rejected = means(token_logps(model, both_sides(batch))).chunk(2)
        margin = config.beta * (chosen - rejected)
        weights = torch.tensor([pair.weight for pair in batch], device=margin.device)
        losses = target_margin(margin, config.gamma) * weights
        return Outcome(losses, {"accuracy": (margin > 0).float(), "margin": margin})

    return objective
