"""Recipe "simpo": trains a policy on pairs by mean log-probabilities, without a reference (Meng et al. 2024)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from training.ml.job import Job
from training.ml.loop import Objective, Outcome
from training.ml.pairs import Pair, load_pairs
from training.ml.policy_figures import figures_before, preference_figures
from training.ml.policy_run import begin
from training.ml.preference_losses import target_margin
from training.ml.token_logps import both_sides, means, token_logps
from training.recipes.simpo import SimPOConfig


def run(job: Job) -> None:
    """Load, prepare, train, evaluate, write the artifact. Raises ModelError for every known failure."""
    begun = begin(job, load_pairs, rows=2)
    model, data, config = begun.model, begun.data, job.config
    objective = simple_preference(model, config)
    end = begun.train(objective, data.test)
    metrics = preference_figures(model, begun.start, objective, data.test, config.batch_size)
    with begun.start() as frozen:
        metrics |= figures_before(simple_preference(frozen, config), data.test, config.batch_size)
    begun.finish(end, metrics, data.test)


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
