"""Measures a reward model on held-out pairs; every figure comes with its 95 % interval and n."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from training.ml import cancel
from training.ml.batching import sorted_batches
from training.ml.calibration import calibration
from training.ml.human_ceiling import human_ceiling
from training.ml.intervals import clusters_of, mean, proportion, wins
from training.ml.pairs import Pair
from training.ml.reward_figures import (
    accuracies_by_group,
    accuracies_by_length,
    accuracy_on_new_annotators,
    accuracy_on_test_annotators,
)

Figures = dict[str, Any]
Scores = Callable[[Sequence[Pair]], tuple[Tensor, Tensor]]


@torch.inference_mode()
def evaluate_reward(
    scores: Scores,
    pairs: list[Pair],
    batch_size: int,
    trained_on: Sequence[Pair] = (),
    log_odds: Callable[[Tensor], Tensor] = lambda margins: margins,
    test_annotators: Sequence[Pair] | None = None,
) -> Figures:
    """Of a reward model: accuracy beside "the longer one wins", a coin's and the annotators' own; where it is right and
    where not; margin, Bradley-Terry loss and calibration.

    `scores` gives (chosen, rejected), each [pairs], or [pairs, members] of an ensemble, whose margin is the mean of
    its members'. A tie counts half, so a constant score has accuracy 0.5. `trained_on` is looked at for its annotators;
    `test_annotators` are pairs as people judged them who were held out; where None were, new people are looked for in
    `pairs`. `log_odds` says how sure the model's likelihood is of a pair with a margin: of Bradley and Terry's, and of
    Davidson's where one wins, it is the margin itself. Intervals are over prompts (`clusters_of`).
    """
    of_members = member_margins(scores, pairs, batch_size)
    margins = of_members.mean(dim=1).tolist()
    odds = log_odds(torch.tensor(margins)).tolist()
    clusters = clusters_of([pair.prompt_ids for pair in pairs])
    if test_annotators is None:
        new = accuracy_on_new_annotators(pairs, margins, trained_on, clusters)
    else:
        new = _on_test_annotators(scores, test_annotators, batch_size, trained_on)
    figures = {
        "accuracy": wins(margins, clusters),
        "accuracy_longer_wins": wins([float(len(pair.chosen) - len(pair.rejected)) for pair in pairs], clusters),
        "accuracy_chance": proportion(len(pairs) / 2, len(pairs)),
        "human_ceiling": human_ceiling(pairs, margins, clusters),
        **accuracies_by_length(pairs, margins, clusters),
        "accuracy_new_annotators": new,
        **accuracies_by_group(pairs, margins, clusters),
        "margin": mean(margins, clusters),
        "loss": mean((-logsigmoid(torch.tensor(odds))).tolist(), clusters),
        "calibration": calibration(odds, clusters),
    }
    if of_members.shape[1] > 1:
        figures["disagreement"] = mean(of_members.std(dim=1, unbiased=False).tolist(), clusters)
    return figures


def _on_test_annotators(
    scores: Scores, pairs: Sequence[Pair], batch_size: int, trained_on: Sequence[Pair]
) -> dict[str, Any]:
    margins = member_margins(scores, pairs, batch_size).mean(dim=1).tolist()
    return accuracy_on_test_annotators(pairs, margins, trained_on)


def member_margins(scores: Scores, pairs: Sequence[Pair], batch_size: int) -> Tensor:
    """Score of the chosen less that of the rejected response by every member, [pairs, members], in the pairs' order."""
    found: dict[int, Tensor] = {}
    for positions in sorted_batches([pair.length for pair in pairs], batch_size):
        cancel.check()
        chosen, rejected = scores([pairs[position] for position in positions])
        margins = (chosen - rejected).float().cpu().reshape(len(positions), -1)
        found |= dict(zip(positions, margins, strict=True))
    return torch.stack([found[position] for position in range(len(pairs))]) if pairs else torch.zeros(0, 1)


def headline(figures: Figures) -> dict[str, float]:
    """The plain values, for the progress line."""
    return {name: figure["value"] for name, figure in figures.items() if isinstance(figure, dict) and "value" in figure}
