"""Recipe "orpo": imitates the chosen responses and widens the odds against the rejected ones (Hong et al. 2024)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from training.ml.job import Job
from training.ml.loop import Objective, Outcome
from training.ml.pairs import Pair, load_pairs
from training.ml.policy_figures import figures_before, preference_figures
from training.ml.policy_run import begin
from training.ml.preference_losses import log_odds_ratio, logistic
from training.ml.token_logps import batch_nll, means, token_logps
from training.recipes.orpo import ORPOConfig


def run(job: Job) -> None:
    """Load, prepare, train, evaluate, write the artifact. Raises ModelError for every known failure."""
    begun = begin(job, load_pairs, rows=2)
    model, data, config = begun.model, begun.data, job.config
    objective = odds_ratio_preference(model, config)
    end = begun.train(objective, data.test)
    metrics = preference_figures(model, begun.start, objective, data.test, config.batch_size)
    with begun.start() as frozen:
        metrics |= figures_before(odds_ratio_preference(frozen, config), data.test, config.batch_size)
    begun.finish(end, metrics, data.test)


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
