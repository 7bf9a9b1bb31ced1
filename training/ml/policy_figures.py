"""Measures a trained policy on held-out data; every figure comes with its 95 % interval and n."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn.functional import kl_div

from training.ml import cancel
from training.ml.batching import sorted_batches
from training.ml.calibration import calibration
from training.ml.evaluate import Figures, wins
from training.ml.intervals import clusters_of, mean
from training.ml.logprobs import Sequences
from training.ml.loop import Item, Objective
from training.ml.pairs import Pair
from training.ml.predictions import predictions
from training.ml.reference import Start

KL_BATCH = 4


def preference_figures(
    policy: nn.Module, start: Start, objective: Objective, pairs: list[Pair], batch_size: int, *, log_odds: bool = False
) -> Figures:
    """Mean margin, share of positive margins and loss as the recipe's own objective has them, and the KL to the start
    over the chosen responses. Where the margins are `log_odds` (Rafailov et al. 2023, eq. 6), their calibration too."""
    margins, losses = judged(objective, pairs, batch_size)
    clusters = clusters_of([pair.prompt_ids for pair in pairs])
    chosen = [(pair.prompt_ids, pair.chosen_ids) for pair in pairs]
    return {
        "margin": mean(margins, clusters),
        "accuracy": wins(margins, clusters),
        "loss": mean(losses, clusters),
        "kl": mean(per_token_kl(policy, start, chosen), clusters),
        **({"calibration": calibration(margins, clusters)} if log_odds else {}),
    }


def figures_before(objective: Objective, pairs: list[Pair], batch_size: int) -> Figures:
    """Margin and accuracy of the start, for objectives that look at no reference and so do not begin at zero."""
    margins, _losses = judged(objective, pairs, batch_size)
    clusters = clusters_of([pair.prompt_ids for pair in pairs])
    return {"margin_before": mean(margins, clusters), "accuracy_before": wins(margins, clusters)}


@torch.no_grad()
def judged(objective: Objective, pairs: Sequence[Item], batch_size: int) -> tuple[list[float], list[float]]:
    """The objective's margins and losses of held-out pairs, in their order."""
    margins, losses = [0.0] * len(pairs), [0.0] * len(pairs)
    for positions in sorted_batches([pair.length for pair in pairs], batch_size):
        cancel.check()
        outcome = objective([pairs[position] for position in positions])
        found = zip(positions, outcome.metrics["margin"].tolist(), outcome.losses.tolist(), strict=True)
        for position, margin, loss in found:
            margins[position], losses[position] = margin, loss
    return margins, losses


@torch.no_grad()
def per_token_kl(policy: nn.Module, start: Start, sequences: Sequences) -> list[float]:
    """KL(policy || start) of the next token, in nats, exact over the vocabulary: for every (prompt, completion) the
    mean over the completion's tokens, in order. Completions, not tokens, are the independent units."""
    found = [0.0] * len(sequences)
    for positions in sorted_batches([len(p) + len(c) for p, c in sequences], KL_BATCH):
        cancel.check()
        batch = [sequences[position] for position in positions]
        now = predictions(policy, batch)
        with start() as frozen:
            then = predictions(frozen, batch)
        parts = []
        for piece in now.pieces():
            new = now.logits(piece).log_softmax(dim=1)
            with start():
                old = then.logits(piece).log_softmax(dim=1)
            parts.append(kl_div(old, new, reduction="none", log_target=True).sum(dim=1))
        totals = torch.zeros(len(batch), device=now.rows.device).index_add(0, now.rows, torch.cat(parts))
        means = totals / torch.bincount(now.rows, minlength=len(batch))
        for position, value in zip(positions, means.tolist(), strict=True):
            found[position] = value
    return found


def batches(items: Sequence[Any], size: int) -> Iterator[list[Any]]:
    """Length-sorted; raises Cancelled between two of them."""
    for positions in sorted_batches([item.length for item in items], size):
        cancel.check()
        yield [items[position] for position in positions]
