"""Recipe "dpo": trains a policy on pairs directly, against its own frozen start (Rafailov et al. 2023)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn

from training.ml.job import Job
from training.ml.loop import Objective, Outcome
from training.ml.pairs import Pair, load_pairs
from training.ml.policy_figures import preference_figures
from training.ml.policy_run import begin
from training.ml.preference_losses import hinge, logistic, robust, smoothed, squared
from training.ml.reference import Reference, untouched
from training.ml.token_logps import Tokens, batch_nll, both_sides, desensitised, lengths, token_logps
from training.recipes.dpo import DPOConfig


def run(job: Job) -> None:
    """Load, prepare, train, evaluate, write the artifact. Raises ModelError for every known failure."""
    begun = begin(job, load_pairs, rows=2, with_reference=True)
    model, data, reference, config = begun.model, begun.data, begun.reference, job.config
    with untouched(model, config) as frozen:
        reference.prepare(frozen, both_sides(data.train + data.test), config.batch_size, begun.progress)
    objective = direct_preference(model, reference, config)
    end = begun.train(objective, data.test)
    metrics = preference_figures(model, begun.start, objective, data.test, config.batch_size, log_odds=config.log_odds)
    begun.finish(end, metrics, data.test, reference=reference.facts(config))


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
