"""How the labels came to be what they are: expected accuracy and doubt with fewer judgments an item than there are."""

from dataclasses import dataclass

import numpy as np
from scipy.special import xlogy

from annotate.statistics.dawid_skene import DawidSkene, dawid_skene
from annotate.statistics.estimate import Undefined
from annotate.statistics.judgments import Judgments
from annotate.statistics.more_votes import fewer_votes, votes_to_try

DRAWS = 5


@dataclass(frozen=True)
class LabelsAt:
    """Labels inferred from at most `votes` judgments an item; means over the draws.

    accuracy   expected share of right labels, as the posterior itself sees it
    entropy    mean doubt left in a label, in bits
    unchanged  share of items with the label that all judgments give
    """

    votes: int
    accuracy: float
    entropy: float
    unchanged: float


def label_curve(
    judgments: Judgments, truth: DawidSkene | None = None, *, draws: int = DRAWS, seed: int = 0
) -> list[LabelsAt] | Undefined:
    """Dawid-Skene with 2, 3, ... judgments an item (`votes_to_try`), drawn from the real ones, up to all of them.

    truth: `dawid_skene` of all judgments, where it is known already. Undefined as that is. `label_values` carries the
    curve on.
    """
    everything = truth or dawid_skene(judgments)
    if isinstance(everything, Undefined):
        return everything
    random = np.random.default_rng(seed)
    most = int(np.bincount(judgments.item).max())
    points = []
    for votes in votes_to_try(most):
        found = (
            [dawid_skene(fewer_votes(judgments, votes, random)) for _ in range(draws)] if votes < most else [everything]
        )
        figures = [
            (
                each.probabilities.max(axis=1).mean(),
                -xlogy(each.probabilities, each.probabilities).sum(axis=1).mean() / np.log(2),
                (each.labels == everything.labels).mean(),
            )
            for each in found
            if not isinstance(each, Undefined)
        ]
        points.append(LabelsAt(votes, *np.mean(figures, axis=0).tolist()))
    return points
