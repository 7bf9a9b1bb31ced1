"""Annotators against gold: labels that are known to be right, such as those of planted items."""

import numpy as np
from numpy.typing import ArrayLike

from annotate.statistics.against_reference import NONE, ReferenceReport, compare_with_reference
from annotate.statistics.chance_corrected import Resampling
from annotate.statistics.estimate import Reason
from annotate.statistics.intervals import LEVEL, REPLICATES
from annotate.statistics.judgments import Judgments, checked_labels


def against_gold(
    judgments: Judgments,
    gold_items: ArrayLike,
    gold_labels: ArrayLike,
    *,
    replicates: int = REPLICATES,
    level: float = LEVEL,
    seed: int = 0,
) -> ReferenceReport:
    """How often each annotator, and all together, gave the gold label, and each one's Cohen kappa with it.

        A = Σ_i [label_i = gold of its item] / judgments of items with gold;    chance = Σ_k p_k g_k

    gold_items (g,) ids as in `judgments.items`, without repetition; gold_labels (g,) codes. Items without a judgment
    are passed over. Raises ValueError for unequal lengths, a repeated item or a label outside the codes.
    Cohen (1960), Educational and Psychological Measurement 20:37.
    """
    ids, labels = np.asarray(gold_items), checked_labels(gold_labels, judgments.categories)
    if ids.shape != labels.shape:
        raise ValueError(f"There must be one gold label an item, got {labels.size} for {ids.size} items.")
    known, position = np.unique(ids, return_index=True)
    if known.size != ids.size:
        raise ValueError(f"{ids.size - known.size} items have more than one gold label; pass the one that counts.")
    gold = np.full(judgments.items.size, NONE, dtype=np.int64)
    _common, item, found = np.intersect1d(judgments.items, known, assume_unique=True, return_indices=True)
    gold[item] = labels[position[found]]
    resampling = Resampling(replicates, level, seed)
    return compare_with_reference(judgments, gold[judgments.item], Reason.NO_GOLD, resampling)
