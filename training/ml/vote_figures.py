"""Measures a policy on held-out single votes: does its implicit reward tell the desirable responses apart?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy
import torch
from torch import nn

from training.ml import cancel
from training.ml.auc import auc
from training.ml.batching import sorted_batches
from training.ml.evaluate import Figures, wins
from training.ml.intervals import ENOUGH, Clusters, clusters_of, mean, some_of, undefined
from training.ml.loop import Objective
from training.ml.policy_figures import per_token_kl
from training.ml.reference import Start
from training.ml.votes import Vote
from training.recipes.words import gettext_noop

FEW = gettext_noop("Only %(n)s held-out response(s) of this kind: at least %(enough)s are needed.")


def vote_figures(
    policy: nn.Module, start: Start, objective: Objective, votes: list[Vote], beta: float, batch_size: int
) -> Figures:
    """The implicit reward beta log(policy / start) of the responses (Rafailov et al. 2023, eq. 5): its mean by label,
    its AUC against the label, and how often it lies on the label's side of KTO's baseline, which is estimated within a
    batch; the loss, and the KL to the start over all responses. Intervals are over prompts (`clusters_of`)."""
    margins, rewards, losses = _judged(objective, votes, beta, batch_size)
    labels, clusters = [vote.desirable for vote in votes], clusters_of([vote.prompt_ids for vote in votes])
    kl = per_token_kl(policy, start, [(vote.prompt_ids, vote.completion_ids) for vote in votes])
    return {
        "auc": auc(rewards, labels, clusters),
        "vote_accuracy": wins(margins, clusters) if len(votes) >= ENOUGH else _few(votes),
        "reward_desirable": _mean_of(rewards, labels, clusters),
        "reward_undesirable": _mean_of(rewards, [not label for label in labels], clusters),
        "kl": mean(kl, clusters) if len(votes) >= ENOUGH else _few(votes),
        "loss": mean(losses, clusters) if len(votes) >= ENOUGH else _few(votes),
    }


@torch.no_grad()
def _judged(
    objective: Objective, votes: Sequence[Vote], beta: float, batch_size: int
) -> tuple[list[float], list[float], list[float]]:
    """Margins, implicit rewards and losses, in the order of the votes."""
    found = numpy.zeros((3, len(votes)))
    for positions in sorted_batches([vote.length for vote in votes], batch_size):
        cancel.check()
        batch = [votes[position] for position in positions]
        outcome = objective(batch)
        margins, kl = outcome.metrics["margin"].double().cpu(), outcome.metrics["kl"].double().cpu()
        signs = torch.tensor([1.0 if vote.desirable else -1.0 for vote in batch], dtype=torch.double)
        rewards = signs * margins + beta * kl
        found[:, positions] = torch.stack([margins, rewards, outcome.losses.double().cpu()]).numpy()
    margins, rewards, losses = found.tolist()
    return margins, rewards, losses


def _mean_of(rewards: list[float], wanted: list[bool], clusters: Clusters) -> dict[str, Any]:
    some = [reward for reward, is_in in zip(rewards, wanted, strict=True) if is_in]
    return mean(some, some_of(clusters, wanted)) if len(some) >= ENOUGH else _few(some)


def _few(some: Sequence[Any]) -> dict[str, Any]:
    return undefined(len(some), FEW, enough=ENOUGH)
