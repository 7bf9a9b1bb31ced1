"""Fleiss' kappa: agreement of many annotators beyond what the labels' overall shares give by chance."""

import numpy as np
from numpy.typing import ArrayLike

from annotate.statistics.chance_corrected import Resampling
from annotate.statistics.counts import checked_counts
from annotate.statistics.estimate import Outcome, Reason, Undefined
from annotate.statistics.intervals import LEVEL, REPLICATES, Floats
from annotate.statistics.item_agreement import coefficient_of_items


def fleiss_kappa(counts: ArrayLike, *, replicates: int = REPLICATES, level: float = LEVEL, seed: int = 0) -> Outcome:
    """Fleiss' kappa from votes (items, K), with a bootstrap interval over items.

        κ = (p_a - p_e) / (1 - p_e),  p_e = Σ_k π_k²

    p_a and π as in `coefficient_of_items`: Fleiss' own where every item has the same number of judgments, Gwet's
    generalisation where not (an item then weighs the same whatever its number of judgments).
    chance of the estimate is p_e. Undefined without two items that were judged twice, and for a single label.
    Raises ValueError for malformed counts. Fleiss (1971), Psychological Bulletin 76:378, eq. 7.
    """
    resampling = Resampling(replicates, level, seed)
    return coefficient_of_items(counts, _same_label_twice, resampling=resampling)


def fleiss_kappa_per_category(
    counts: ArrayLike, *, replicates: int = REPLICATES, level: float = LEVEL, seed: int = 0
) -> list[Outcome]:
    """Kappa of each label against all others together, K outcomes: which label the annotators mean differently.

        κ_j = 1 - Σ_i n_ij (m - n_ij) / (N m (m-1) π_j (1 - π_j))        for m judgments on each of N items

    which is Fleiss' kappa of the table with two columns, n_j and the rest. Undefined for a label that nobody used.
    Fleiss (1971), Psychological Bulletin 76:378, eq. 17.
    """
    rows = checked_counts(counts)
    return [
        fleiss_kappa(
            np.column_stack([rows[:, label], rows.sum(axis=1) - rows[:, label]]),
            replicates=replicates,
            level=level,
            seed=seed,
        )
        if rows[:, label].any() or not rows.any()
        else Undefined(Reason.UNUSED_LABEL)
        for label in range(rows.shape[1])
    ]


def _same_label_twice(shares: Floats, weights: Floats) -> Floats:
    return (shares**2).sum(axis=-1)
