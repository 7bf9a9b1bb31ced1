"""Cohen's kappa of every two annotators with enough common items."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from annotate.statistics.agreement_weights import Weights
from annotate.statistics.cohen_kappa import cohen_kappa
from annotate.statistics.estimate import Outcome
from annotate.statistics.intervals import LEVEL, REPLICATES
from annotate.statistics.judgments import Judgments
from annotate.statistics.pairs_of_annotators import contingency_tables, same_label

LEAST_COMMON = 10
"""On fewer common items the interval of a kappa spans most of its range, and says nothing."""


@dataclass(frozen=True)
class PairKappa:
    """Two annotators (ids), the number of items that both judged, and on these their raw agreement and kappa."""

    first: Any
    second: Any
    n_common: int
    raw_agreement: Outcome
    kappa: Outcome

    def as_json(self) -> dict[str, Any]:
        """The kappa itself (value, low, high, n, or a reason) with its pair."""
        return {
            "annotators": [self.first, self.second],
            "n_common": self.n_common,
            **self.kappa.as_json(),
            "raw_agreement": self.raw_agreement.as_json(),
        }


def cohen_kappa_of_pairs(
    judgments: Judgments,
    weights: Weights = "identity",
    *,
    least_common: int = LEAST_COMMON,
    most_pairs: int | None = None,
    replicates: int = REPLICATES,
    level: float = LEVEL,
    seed: int = 0,
) -> list[PairKappa]:
    """One entry for each pair with at least `least_common` common items, ordered by first and second id.

    most_pairs: no more than these, those with most items in common (of equal ones the first), because a crowd of
    500 has 125,000 pairs and each has a bootstrap of its own. None for all.
    Bootstrap over the pair's common items; time grows with the number of pairs, not with that of the judgments.
    """
    pairs, tables = contingency_tables(judgments)
    common = tables.sum(axis=(1, 2))
    enough = common >= least_common
    if most_pairs is not None:
        enough[np.argsort(-common, kind="stable")[most_pairs:]] = False
    ids = judgments.annotators.tolist()
    return [
        PairKappa(
            first=ids[first],
            second=ids[second],
            n_common=int(table.sum()),
            raw_agreement=same_label(table, level),
            kappa=cohen_kappa(table, weights, replicates=replicates, level=level, seed=seed),
        )
        for (first, second), table in zip(pairs[enough].tolist(), tables[enough], strict=True)
    ]
