"""Scott's pi of two annotators: Cohen's kappa with the label shares of both taken together."""

import numpy as np
from numpy.typing import ArrayLike

from annotate.statistics.chance_corrected import Resampling, corrected_outcome
from annotate.statistics.cohen_kappa import checked_table, why_table_is_undefined
from annotate.statistics.estimate import Outcome, Undefined
from annotate.statistics.intervals import LEVEL, REPLICATES, Floats


def scott_pi(table: ArrayLike, *, replicates: int = REPLICATES, level: float = LEVEL, seed: int = 0) -> Outcome:
    """Pi from the crosstable (K, K) of two annotators, with a bootstrap interval over items.

        π = (p_o - p_e) / (1 - p_e),  p_o = Σ_k p_kk,  p_e = Σ_k ((p_k. + p_.k) / 2)²

    n of the estimate is the number of common items, chance is p_e. Undefined without two common items, and where
    only one label was used. Raises ValueError for a malformed table.
    Scott (1955), Public Opinion Quarterly 19:321.
    """
    cells = checked_table(table)
    reason = why_table_is_undefined(cells)
    if reason is not None:
        return Undefined(reason)
    categories = cells.shape[0]

    def shares(sums: Floats) -> tuple[Floats, Floats]:
        joint = sums.reshape(*sums.shape[:-1], categories, categories) / sums.sum(axis=-1)[..., None, None]
        pooled = (joint.sum(axis=-1) + joint.sum(axis=-2)) / 2
        return np.trace(joint, axis1=-2, axis2=-1), (pooled**2).sum(axis=-1)

    filled = np.flatnonzero(cells)
    terms = np.eye(cells.size)[filled]
    resampling = Resampling(replicates, level, seed)
    return corrected_outcome(terms, cells.ravel()[filled], shares, int(cells.sum()), resampling)
