"""Brennan and Prediger's kappa: agreement beyond that of annotators who draw every label equally often."""

import numpy as np
from numpy.typing import ArrayLike

from annotate.statistics.chance_corrected import Resampling
from annotate.statistics.estimate import Outcome
from annotate.statistics.intervals import LEVEL, REPLICATES, Floats
from annotate.statistics.item_agreement import coefficient_of_items


def brennan_prediger(
    counts: ArrayLike, *, replicates: int = REPLICATES, level: float = LEVEL, seed: int = 0
) -> Outcome:
    """The kappa of uniform chance from votes (items, K), with a bootstrap interval over items.

        κ = (p_a - 1/q) / (1 - 1/q)

    q is the number of labels that somebody used, p_a as in `coefficient_of_items`, chance of the estimate 1/q.
    Undefined without two items that were judged twice, and for a single label.
    Raises ValueError for malformed counts.
    Brennan & Prediger (1981), Educational and Psychological Measurement 41:687.
    """
    resampling = Resampling(replicates, level, seed)
    return coefficient_of_items(counts, _uniform, resampling=resampling)


def _uniform(shares: Floats, weights: Floats) -> Floats:
    return np.full(shares.shape[:-1], 1 / weights.shape[0])
