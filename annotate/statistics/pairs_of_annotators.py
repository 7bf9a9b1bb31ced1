"""Agreement of every two annotators who share items."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from annotate.statistics.estimate import Estimate, Outcome
from annotate.statistics.intervals import LEVEL, REPLICATES, wilson_interval
from annotate.statistics.judgments import Judgments
from annotate.statistics.krippendorff_alpha import krippendorff_alpha
from annotate.statistics.label_distances import Metric


@dataclass(frozen=True)
class AnnotatorPair:
    """Two annotators (ids) and how they agree on the items that both judged."""

    first: Any
    second: Any
    n_common: int
    raw_agreement: Outcome
    alpha: Outcome

    def as_json(self) -> dict[str, Any]:
        return {
            "annotators": [self.first, self.second],
            "n_common": self.n_common,
            "raw_agreement": self.raw_agreement.as_json(),
            "krippendorff_alpha": self.alpha.as_json(),
        }


def pairs_of_annotators(
    judgments: Judgments,
    *,
    metric: Metric = "nominal",
    replicates: int = REPLICATES,
    level: float = LEVEL,
    seed: int = 0,
) -> list[AnnotatorPair]:
    """One entry for each pair with at least one common item, ordered by first and second id.

    Raw agreement is the share of common items with the same label, with Wilson's interval; alpha is
    Krippendorff's of the two alone, with a bootstrap over their common items (Undefined for a single one).
    Pairs without a common item are left out: most pairs of a large crowd never meet.
    """
    pairs, tables = contingency_tables(judgments)
    ids = judgments.annotators.tolist()
    return [
        AnnotatorPair(
            first=ids[first],
            second=ids[second],
            n_common=int(table.sum()),
            raw_agreement=same_label(table, level),
            alpha=krippendorff_alpha(
                _counts_of_table(table), metric=metric, replicates=replicates, level=level, seed=seed
            ),
        )
        for (first, second), table in zip(pairs.tolist(), tables, strict=True)
    ]


def contingency_tables(judgments: Judgments) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Cross tables of every two annotators who meet.

    Returns (pairs, 2) annotator codes, first < second, and (pairs, K, K) counts of common items:
    [p, c, k] is how often the first said c where the second said k. One sparse product
    of the (annotator and label) x item incidence with itself.
    """
    categories, annotators = judgments.categories, judgments.annotators.size
    said = judgments.annotator * categories + judgments.label
    incidence = csr_array(
        (np.ones(len(judgments), dtype=np.int64), (said, judgments.item)),
        shape=(annotators * categories, judgments.items.size),
    )
    met = (incidence @ incidence.T).tocoo()
    (first, own), (second, other) = divmod(met.row, categories), divmod(met.col, categories)
    kept = first < second
    keys, pair = np.unique(first[kept].astype(np.int64) * annotators + second[kept], return_inverse=True)
    tables = np.zeros((keys.size, categories, categories), dtype=np.int64)
    tables[pair, own[kept], other[kept]] = met.data[kept]
    return np.stack(np.divmod(keys, max(annotators, 1)), axis=1), tables


def same_label(table: NDArray[np.int64], level: float) -> Estimate:
    """The share of items on the diagonal of a crosstable (K, K) that is not empty, with Wilson's interval."""
    same, n = int(np.trace(table)), int(table.sum())
    low, high = wilson_interval(same, n, level=level)
    chance = float(table.sum(axis=0) @ table.sum(axis=1)) / n**2
    return Estimate(value=same / n, low=low, high=high, n=n, chance=chance)


def _counts_of_table(table: NDArray[np.int64]) -> NDArray[np.int64]:
    """The common items as votes per category, (n_common, K): the cell (c, k) is an item with a vote on each."""
    unit = np.eye(table.shape[0], dtype=np.int64)
    votes = unit[:, None, :] + unit[None, :, :]
    return np.repeat(votes.reshape(-1, table.shape[0]), table.ravel(), axis=0)
