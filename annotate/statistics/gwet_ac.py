"""Gwet's AC1 and AC2: agreement beyond chance that does not collapse where one label is frequent."""

from collections.abc import Sequence

from numpy.typing import ArrayLike

from annotate.statistics.agreement_weights import Weights
from annotate.statistics.chance_corrected import Resampling
from annotate.statistics.estimate import Outcome
from annotate.statistics.intervals import LEVEL, REPLICATES, Floats
from annotate.statistics.item_agreement import coefficient_of_items


def gwet_ac1(counts: ArrayLike, *, replicates: int = REPLICATES, level: float = LEVEL, seed: int = 0) -> Outcome:
    """AC1 from votes (items, K), with a bootstrap interval over items: AC2 with equal labels as the only agreement.

        AC1 = (p_a - p_e) / (1 - p_e),  p_e = 1/(q-1) Σ_k π_k (1 - π_k)

    q is the number of labels that somebody used, p_a and π as in `coefficient_of_items`, chance of the estimate p_e.
    Undefined without two items that were judged twice, and for a single label (where the formula would say 1).
    Raises ValueError for malformed counts.
    Gwet (2008), British Journal of Mathematical and Statistical Psychology 61:29, eq. 5 and 8.
    """
    resampling = Resampling(replicates, level, seed)
    return coefficient_of_items(counts, _hard_items, resampling=resampling)


def gwet_ac2(
    counts: ArrayLike,
    weights: Weights = "quadratic",
    *,
    values: Sequence[float] | None = None,
    replicates: int = REPLICATES,
    level: float = LEVEL,
    seed: int = 0,
) -> Outcome:
    """AC2 from votes (items, K): AC1 with partial agreement for labels that are near each other.

        AC2 = (p_a - p_e) / (1 - p_e),  p_e = T_w / (q (q-1)) Σ_k π_k (1 - π_k),  T_w = Σ_kl w_kl

    weights: `agreement_weights`; values (K,): the numbers of the labels, their codes if not given. The rest as AC1.
    Raises ValueError for malformed counts or values and unknown weights.
    Gwet (2014), Handbook of Inter-Rater Reliability, 4th ed., ch. 3.
    """
    resampling = Resampling(replicates, level, seed)
    return coefficient_of_items(counts, _hard_items, weights=weights, values=values, resampling=resampling)


def _hard_items(shares: Floats, weights: Floats) -> Floats:
    q = weights.shape[0]
    return weights.sum() / (q * (q - 1)) * (shares * (1 - shares)).sum(axis=-1)
