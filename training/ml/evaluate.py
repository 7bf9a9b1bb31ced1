"""Measures a trained model on held-out pairs; every figure comes with its 95 % interval and n."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from training.ml import cancel
from training.ml.batching import sorted_batches
from training.ml.intervals import mean, proportion
from training.ml.logprobs import completion_logits, completion_logps
from training.ml.pairs import Pair

KL_BATCH = 4  # both models' logits over the whole vocabulary are held at once
Figures = dict[str, Any]
LogRatios = dict[str, tuple[float, float]]  # pair id -> (chosen, rejected)


@torch.inference_mode()
def evaluate_reward(
    scores: Callable[[Sequence[Pair]], tuple[Tensor, Tensor]], pairs: list[Pair], batch_size: int
) -> Figures:
    """Of a reward model: accuracy beside "the longer one wins" and a coin's, margin and Bradley-Terry loss.

    `scores` gives (chosen, rejected), each [pairs]. A tie counts half, so a constant score has accuracy 0.5.
    """
    margins: list[float] = []
    for batch in _batches(pairs, batch_size):
        chosen, rejected = scores(batch)
        margins += (chosen - rejected).tolist()
    longer = [float(len(pair.chosen) - len(pair.rejected)) for pair in pairs]
    return {
        "accuracy": wins(margins),
        "accuracy_longer_wins": wins(longer),
        "accuracy_chance": proportion(len(pairs) / 2, len(pairs)),
        "margin": mean(margins),
        "loss": mean((-logsigmoid(torch.tensor(margins))).tolist()),
    }


@torch.inference_mode()
def evaluate_policy(
    policy: nn.Module,
    reference: Callable[[], AbstractContextManager[nn.Module]],
    pairs: list[Pair],
    *,
    beta: float,
    batch_size: int,
) -> Figures:
    """Of a policy against its reference: mean reward margin, preference accuracy, DPO loss and KL.

    The reward of a response is beta * (log p(response) - log p_reference(response)) (Rafailov et al. 2023, eq. 5).
    """
    now = response_logps(policy, pairs, batch_size)
    with reference() as frozen:
        start = response_logps(frozen, pairs, batch_size)
    margins = [beta * ((now[p.id][0] - start[p.id][0]) - (now[p.id][1] - start[p.id][1])) for p in pairs]
    return {
        "margin": mean(margins),
        "accuracy": wins(margins),
        "loss": mean((-logsigmoid(torch.tensor(margins))).tolist()),
        "kl": mean(per_token_kl(policy, reference, pairs)),
    }


@torch.no_grad()
def response_logps(model: nn.Module, pairs: Sequence[Pair], batch_size: int) -> LogRatios:
    """Log-probability of both responses of every pair, by the pair's id."""
    found: LogRatios = {}
    for batch in _batches(pairs, batch_size):
        sequences = [(p.prompt_ids, p.chosen_ids) for p in batch] + [(p.prompt_ids, p.rejected_ids) for p in batch]
        chosen, rejected = completion_logps(model, sequences).chunk(2)
        found |= {pair.id: both for pair, *both in zip(batch, chosen.tolist(), rejected.tolist(), strict=True)}
    return found


@torch.no_grad()
def per_token_kl(
    policy: nn.Module, reference: Callable[[], AbstractContextManager[nn.Module]], pairs: Sequence[Pair]
) -> list[float]:
    """KL(policy || reference) of the next token, in nats, exact over the vocabulary: for every pair the mean over the
    tokens of its chosen response, shortest pair first. Pairs, not tokens, are the independent units."""
    found: list[float] = []
    for batch in _batches(pairs, KL_BATCH):
        sequences = [(pair.prompt_ids, pair.chosen_ids) for pair in batch]
        new, _, rows = completion_logits(policy, sequences)
        with reference() as frozen:
            old, _, _ = completion_logits(frozen, sequences)
        new, old = new.log_softmax(dim=1), old.log_softmax(dim=1)
        divergence = (new.exp() * (new - old)).sum(dim=1)
        totals = torch.zeros(len(batch), device=new.device).index_add(0, rows, divergence)
        found += (totals / torch.bincount(rows, minlength=len(batch))).tolist()
    return found


def wins(margins: Sequence[float]) -> Figures:
    """The share of positive margins; a tie counts half."""
    return proportion(sum((margin > 0) + 0.5 * (margin == 0) for margin in margins), len(margins))


def headline(figures: Figures) -> dict[str, float]:
    """The plain values, for the progress line."""
    return {name: figure["value"] for name, figure in figures.items() if isinstance(figure, dict)}


def _batches(pairs: Sequence[Pair], size: int) -> Iterator[list[Pair]]:
    for positions in sorted_batches([pair.length for pair in pairs], size):
        cancel.check()
        yield [pairs[position] for position in positions]
