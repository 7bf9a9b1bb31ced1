"""Cohen's kappa of two annotators: plain, and with partial agreement for labels that are near each other."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from annotate.statistics.agreement_weights import Weights, weight_matrix
from annotate.statistics.chance_corrected import Resampling, corrected_outcome
from annotate.statistics.counts import checked_counts
from annotate.statistics.estimate import Outcome, Reason, Undefined
from annotate.statistics.intervals import LEVEL, REPLICATES, Floats
from annotate.statistics.label_distances import label_values


def cohen_kappa(
    table: ArrayLike,
    weights: Weights = "identity",
    *,
    values: Sequence[float] | None = None,
    replicates: int = REPLICATES,
    level: float = LEVEL,
    seed: int = 0,
) -> Outcome:
    """Kappa from the crosstable of two annotators, with a bootstrap interval over items.

        κ = (p_o - p_e) / (1 - p_e),  p_o = Σ_ck w_ck p_ck,  p_e = Σ_ck w_ck p_c. p_.k

    table    (K, K) items: [c, k] is how often the first said c where the second said k (`crosstable`)
    weights  identity (plain), linear, quadratic, ...: `agreement_weights`
    values   (K,) numbers that the labels stand for, their codes if not given
    n of the estimate is the number of common items, chance is p_e. Undefined without two common items, and where both
    always gave the same one label.
    Raises ValueError for a malformed table or values and unknown weights.
    Cohen (1960), Educational and Psychological Measurement 20:37, eq. 1; Cohen (1968), Psychological Bulletin 70:213.
    """
    cells = checked_table(table)
    categories = cells.shape[0]
    matrix = weight_matrix(weights, label_values(categories, values))
    reason = why_table_is_undefined(cells)
    if reason is not None:
        return Undefined(reason)

    def shares(sums: Floats) -> tuple[Floats, Floats]:
        joint = sums.reshape(*sums.shape[:-1], categories, categories) / sums.sum(axis=-1)[..., None, None]
        expected = joint.sum(axis=-1)[..., :, None] * joint.sum(axis=-2)[..., None, :]
        return (joint * matrix).sum(axis=(-2, -1)), (expected * matrix).sum(axis=(-2, -1))

    filled = np.flatnonzero(cells)
    terms = np.eye(cells.size)[filled]
    resampling = Resampling(replicates, level, seed)
    return corrected_outcome(terms, cells.ravel()[filled], shares, int(cells.sum()), resampling)


def checked_table(table: ArrayLike) -> NDArray[np.int64]:
    """The crosstable as int64. Raises ValueError unless it is square, whole and not negative."""
    cells = checked_counts(table)
    if cells.shape[0] != cells.shape[1]:
        raise ValueError(f"A crosstable has the same labels in its rows and columns, got the shape {cells.shape}.")
    return cells


def why_table_is_undefined(cells: NDArray[np.int64]) -> Reason | None:
    """Why a crosstable allows no coefficient beyond chance; None where it does."""
    if not cells.any():
        return Reason.NO_OVERLAP
    if np.count_nonzero(cells.sum(axis=0) + cells.sum(axis=1)) < 2:
        return Reason.ONE_CATEGORY
    return Reason.ONE_ITEM if cells.sum() == 1 else None
