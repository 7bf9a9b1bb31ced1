"""Recipe "dpo": trains a policy on pairs directly, against its own frozen start (Rafailov et al. 2023)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

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
from training.ml.policy_figures import preference_figures
from training.ml.precision import for_training
from training.ml.preference_losses import hinge, logistic, robust, smoothed, squared
from training.ml.progress import Progress
from training.ml.reference import Reference, frozen_start, model_key, untouched
from training.ml.side_by_side import old_and_new
from training.ml.token_logps import Tokens, batch_nll, both_sides, desensitised, lengths, token_logps
from training.recipes.dpo import DPOConfig


def run(job: Job) -> None:
    """Load, prepare, train, evaluate, write the artifact. Raises ModelError for every known failure."""
    config, progress = job.config, Progress(job.directory)
    device = for_training(choose_device(), config)
    source = {"cache": job.cache, "on_convert": lambda: progress.status("converting")}

    progress.status("loading")
    tokenizer = load_tokenizer(job.model, **source)
    model = load_policy(job.model, device=device, **source)
    data = load_pairs(job.data, tokenizer, model, config.max_length)
    key = model_key(model, tokenizer, config)
    reference, tax = Reference(job.cache, key), AlignmentTax(job, model, tokenizer, key)
    torch.manual_seed(job.seed)  # draws the adapter
    model = apply_adapter(model, config, "policy")
    machine = settle(model, config, device, data.train, rows=2)
    untrained = trainable_hash(model)
    with untouched(model, config) as frozen:
        reference.prepare(frozen, both_sides(data.train + data.test), config.batch_size, progress)

    progress.status("training", data=data.counts(), **machine)
    objective = direct_preference(model, reference, config)
    where = {"seed": job.seed, "directory": job.directory, "progress": progress}
    end = train(model, data.train, objective, config, **where, by_item=config.by_item)
    require_change(model, untrained)

    progress.status("evaluating")
    start = frozen_start(model, config, lambda: load_policy(job.model, device=device, **source))
    metrics = preference_figures(model, start, objective, data.test, config.batch_size)
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
        "reference": reference.facts(config),
        "seconds": end.seconds,
        **machine,
    }
    write_artifact(job, lambda directory: save_weights(model, tokenizer, directory), facts)


def direct_preference(model: nn.Module, reference: Reference, config: DPOConfig) -> Objective:
    """The configured loss of the margin, and the chosen response's own likelihood where `sft_weight` asks for it, times
    the pair's weight. The margin logged is the one of the implicit rewards, whatever the loss."""

    def objective(batch: Sequence[Pair]) -> Outcome:
        sequences = both_sides(batch)
        now = token_logps(model, sequences)
        then = reference.of(sequences, now[0].device)
        ratios = [new - old for new, old in zip(now, then, strict=True)]
        labels = [pair.soft_label if config.soft_labels else 1.0 for pair in batch]
        losses, margin = judge(ratios[: len(batch)], ratios[len(batch) :], labels, config)
        if config.sft_weight:
            losses = losses + config.sft_weight * batch_nll(now[: len(batch)])
        weights = torch.tensor([pair.weight for pair in batch], device=losses.device)
        return Outcome(losses * weights, {"accuracy": (margin > 0).float(), "margin": margin})

    return objective


def judge(chosen: Tokens, rejected: Tokens, labels: Sequence[float], config: DPOConfig) -> tuple[Tensor, Tensor]:
    """Losses and implicit reward margins, each [pairs], from the log-ratios of each response's tokens.

    `labels` [pairs] are the probabilities that the chosen response is the better one.
    """
    won, lost = (
        desensitised(chosen, rejected, config.length_alpha),
        desensitised(rejected, chosen, config.length_alpha),
    )
    margin = config.beta * (won - lost)
    value, plain = margin, {"hinge": hinge}.get(config.loss, logistic)
    if config.loss == "ipo":
        value, plain = won / lengths(chosen) - lost / lengths(rejected), partial(squared, beta=config.beta)
    noisy = partial(robust if config.loss == "robust" else smoothed, plain, flipped=config.label_smoothing)
    return smoothed(noisy, value, 1 - torch.tensor(labels, device=margin.device)), margin
