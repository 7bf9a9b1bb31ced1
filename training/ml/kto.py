"""Recipe "kto": trains a policy on single responses, desirable or not (Ethayarajh et al. 2024)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor, nn

from training.ml.adapters import apply_adapter, parameter_counts, require_change, save_weights, trainable_hash
from training.ml.alignment_tax import AlignmentTax
from training.ml.artifact import write_artifact
from training.ml.device import choose_device
from training.ml.dpo import direct_preference
from training.ml.evaluate import headline
from training.ml.intervals import mean
from training.ml.job import Job
from training.ml.load import load_policy, load_tokenizer
from training.ml.logprobs import Sequences
from training.ml.loop import Objective, Outcome, train
from training.ml.machine import settle
from training.ml.pairs import read_pairs
from training.ml.policy_figures import judged, preference_figures
from training.ml.precision import for_training
from training.ml.preference_losses import prospect
from training.ml.progress import Progress
from training.ml.reference import Reference, Start, frozen_logps, frozen_start, model_key, untouched
from training.ml.sharded import is_sharded
from training.ml.side_by_side import old_and_new
from training.ml.token_logps import both_sides, token_logps, totals
from training.ml.votes import Vote, load_votes
from training.recipes.dpo import DPOConfig
from training.recipes.kto import KTOConfig


def run(job: Job) -> None:
    """Load, prepare, train, evaluate, write the artifact. Raises ModelError for every known failure."""
    config, progress = job.config, Progress(job.directory)
    device = for_training(choose_device(), config)
    source = {"cache": job.cache, "on_convert": lambda: progress.status("converting")}

    progress.status("loading")
    tokenizer = load_tokenizer(job.model, **source)
    model = load_policy(job.model, device=device, **source)
    data = load_votes(job.data, tokenizer, model, config.max_length)
    held_out = read_pairs(job.data.test, tokenizer, data.limit).kept
    key = model_key(model, tokenizer, config)
    reference, tax = Reference(job.cache, key), AlignmentTax(job, model, tokenizer, key)
    torch.manual_seed(job.seed)  # draws the adapter
    model = apply_adapter(model, config, "policy")
    machine = settle(model, config, device, data.train, rows=1)
    untrained = trainable_hash(model)
    with untouched(model, config) as frozen:
        reference.prepare(frozen, texts(data.train + data.test) + both_sides(held_out), config.batch_size, progress)
    start = frozen_start(model, config, lambda: load_policy(job.model, device=device, **source))

    progress.status("training", data=data.counts(), **machine)
    objective = unpaired_preference(model, reference, start, config, data.limit)
    end = train(model, data.train, objective, config, seed=job.seed, directory=job.directory, progress=progress)
    require_change(model, untrained)

    progress.status("evaluating")
    pairwise = direct_preference(model, reference, DPOConfig(beta=config.beta))
    metrics = preference_figures(model, start, pairwise, held_out, config.batch_size)
    metrics["loss"] = mean(judged(objective, data.test, config.batch_size)[1])
    progress.evaluation(metrics=headline(metrics), step=end.step)
    metrics |= tax.figures(model, start, progress)
    metrics["samples"] = old_and_new(model, start, tokenizer, held_out, seed=job.seed)

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


def unpaired_preference(
    model: nn.Module, reference: Reference, start: Start, config: KTOConfig, limit: int
) -> Objective:
    """The prospect-theoretic loss times the vote's weight. The margin logged is how far the implicit reward lies on the
    right side of the batch's baseline; `kl` is that baseline without beta."""

    def objective(batch: Sequence[Vote]) -> Outcome:
        kl = estimated_kl(model, start, batch, limit)
        sequences = texts(batch)
        now = totals(token_logps(model, sequences))
        reward = config.beta * (now - totals(reference.of(sequences, now.device)))
        desirable = torch.tensor([vote.desirable for vote in batch], device=now.device)
        sides = (config.desirable_weight, config.undesirable_weight)
        losses = prospect(reward, config.beta * kl, desirable, sides)
        weights = torch.tensor([vote.weight for vote in batch], device=now.device)
        margin = torch.where(desirable, 1.0, -1.0) * (reward - config.beta * kl)
        metrics = {"accuracy": (margin > 0).float(), "margin": margin, "kl": kl.expand(len(batch))}
        return Outcome(losses * weights, metrics)

    return objective


@torch.no_grad()
def estimated_kl(model: nn.Module, start: Start, batch: Sequence[Vote], limit: int) -> Tensor:
    """The mean log-ratio of responses that answer other prompts of the batch, zero at least, a scalar (the paper's z0;
    biased, but steady). Nothing is stored of it: what meets in a batch hangs on the seed."""
    mismatched = strangers(batch, limit)
    if not mismatched:
        if is_sharded(model):  # the other processes need this one's part of the weights
            _keep_company(model, start, batch)
        return torch.zeros((), device=next(model.parameters()).device)
    now = totals(token_logps(model, mismatched))
    with start() as frozen:
        then = totals(frozen_logps(frozen, mismatched))
    return (now - then).mean().clamp(min=0)


def _keep_company(model: nn.Module, start: Start, batch: Sequence[Vote]) -> None:
    """As many forward passes as the others make, for nothing, and without drawing what dropout would."""
    frozen_logps(model, texts(batch)[:1])
    with start() as frozen:
        frozen_logps(frozen, texts(batch)[:1])


def strangers(batch: Sequence[Vote], limit: int) -> Sequences:
    """Each prompt with the response of the nearest vote before it (round the batch) that answers another prompt and
    fits; a prompt without any is left out. Where all prompts differ, it is TRL's shift by one."""
    found = []
    for position, vote in enumerate(batch):
        others = [batch[position - distance] for distance in range(1, len(batch))]
        room = limit - len(vote.prompt_ids)
        fitting = (o for o in others if o.prompt_ids != vote.prompt_ids and len(o.completion_ids) <= room)
        if other := next(fitting, None):
            found.append((vote.prompt_ids, other.completion_ids))
    return found


def texts(votes: Sequence[Vote]) -> list[tuple[list[int], list[int]]]:
    return [(vote.prompt_ids, vote.completion_ids) for vote in votes]
