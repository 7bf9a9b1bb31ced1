"""Recipe "orpo": imitates the chosen responses and widens the odds against the rejected ones (Hong et al. 2024)."""

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
from training.ml.preference_losses import log_odds_ratio, logistic
from training.ml.progress import Progress
from training.ml.reference import frozen_start
from training.ml.side_by_side import old_and_new
from training.ml.token_logps import batch_nll, means, token_logps
from training.recipes.orpo import ORPOConfig


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
    objective = odds_ratio_preference(model, config)
    end = train(model, data.train, objective, config, seed=job.seed, directory=job.directory, progress=progress)
    require_change(model, untrained)

    progress.status("evaluating")
    start = frozen_start(model, config, lambda: load_policy(job.model, device=device, **source))
    metrics = preference_figures(model, start, objective, data.test, config.batch_size)
    with start() as frozen:
        metrics |= figures_before(odds_ratio_preference(frozen, config), data.test, config.batch_size)
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


def odds_ratio_preference(model: nn.Module, config: ORPOConfig) -> Objective:
    """L_SFT + beta * L_OR (Hong et al. 2024, eq. 6), times the pair's weight; the margin logged is the log odds ratio.

    As in the authors' code and TRL's, L_SFT is over the tokens of the prompt too, L_OR over those of the responses.
    """

    def objective(batch: Sequence[Pair]) -> Outcome:
        # Whatever follows the first token is predicted, so that one forward pass gives prompt and response.
        whole = [(pair.prompt_ids[:1], pair.prompt_ids[1:] + pair.chosen_ids) for pair in batch]
        sequences = [*whole, *((pair.prompt_ids, pair.rejected_ids) for pair in batch)]
        found = token_logps(model, sequences, stems=[pair.prompt_ids for pair in batch] * 2)
        imitated, rejected = found[: len(batch)], found[len(batch) :]
        chosen = [tokens[len(pair.prompt_ids) - 1 :] for pair, tokens in zip(batch, imitated, strict=True)]
        margin = log_odds_ratio(means(chosen), means(rejected))
        losses = batch_nll(imitated) + config.beta * logistic(margin)
        weights = torch.tensor([pair.weight for pair in batch], device=losses.device)
        return Outcome(losses * weights, {"accuracy": (margin > 0).float(), "margin": margin})

    return objective
