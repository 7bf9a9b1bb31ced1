"""Measures how well a policy imitates held-out demonstrations, before and after its training."""

from __future__ import annotations

import torch
from torch import nn

from training.ml.demonstrations import Demonstration
from training.ml.evaluate import Figures
from training.ml.intervals import Clusters, clusters_of, exponential, mean, ratio
from training.ml.policy_figures import batches, per_token_kl
from training.ml.predictions import chosen, predictions
from training.ml.reference import Start


def imitation_figures(policy: nn.Module, start: Start, held_out: list[Demonstration], batch_size: int) -> Figures:
    """Loss and perplexity per token and the share of tokens that are the likeliest one, of the policy and of its start
    (`_before`), and the KL to the start. Intervals are over prompts (`clusters_of`), or else over demonstrations: not
    over tokens, which hang together."""
    sequences = [(one.prompt_ids, one.completion_ids) for one in held_out]
    figures = per_token(policy, held_out, batch_size)
    with start() as frozen:
        before = per_token(frozen, held_out, batch_size)
    figures |= {f"{name}_before": figure for name, figure in before.items()}
    return {**figures, "kl": mean(per_token_kl(policy, start, sequences), _clusters(held_out))}


@torch.no_grad()
def per_token(model: nn.Module, held_out: list[Demonstration], batch_size: int) -> Figures:
    """{"loss", "perplexity", "token_accuracy"} over all tokens of the responses, EOS included."""
    sums: list[float] = []
    hits: list[float] = []
    measured: list[Demonstration] = []
    for batch in batches(held_out, batch_size):
        found = predictions(model, [(one.prompt_ids, one.completion_ids) for one in batch])
        nll, hit = torch.zeros(2, len(batch), device=found.rows.device)
        for piece in found.pieces():
            logits, targets, rows = found.logits(piece), found.targets[piece], found.rows[piece]
            nll.index_add_(0, rows, -chosen(logits, targets))
            hit.index_add_(0, rows, (logits.argmax(dim=1) == targets).float())
        sums += nll.tolist()
        hits += hit.tolist()
        measured += batch
    units, clusters = [one.units for one in measured], _clusters(measured)
    loss = ratio(sums, units, clusters)
    return {"loss": loss, "perplexity": exponential(loss), "token_accuracy": ratio(hits, units, clusters)}


def _clusters(held_out: list[Demonstration]) -> Clusters:
    return clusters_of([one.prompt_ids for one in held_out])
