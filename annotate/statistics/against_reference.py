"""Annotators against a reference label an item: what the comparisons with gold and with the others share."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annotate.statistics.chance_corrected import Resampling
from annotate.statistics.cohen_kappa import cohen_kappa
from annotate.statistics.estimate import Estimate, Outcome, Reason, Undefined
from annotate.statistics.intervals import Floats, PooledStatistic, bootstrap_interval, wilson_interval
from annotate.statistics.judgments import Judgments
from annotate.statistics.kappa_of_pairs import LEAST_COMMON
from annotate.statistics.pairs_of_annotators import same_label

NONE = -1
"""The reference of an item that has none."""


@dataclass(frozen=True)
class AgainstReference:
    """One annotator (id): how often the label is the reference, and Cohen's kappa with it.

    n_judgments: all of them; n: those on an item with a reference.
    """

    annotator: Any
    n_judgments: int
    n: int
    raw_agreement: Outcome
    kappa: Outcome

    def as_json(self) -> dict[str, Any]:
        return {
            "annotator": self.annotator,
            "n_judgments": self.n_judgments,
            "n": self.n,
            "raw_agreement": self.raw_agreement.as_json(),
            "cohen_kappa": self.kappa.as_json(),
        }


@dataclass(frozen=True)
class ReferenceReport:
    """overall: the share of all judgments that are the reference; annotators: each one, in the order of the ids."""

    overall: Outcome
    annotators: list[AgainstReference]

    def as_json(self) -> dict[str, Any]:
        return {"overall": self.overall.as_json(), "annotators": [each.as_json() for each in self.annotators]}


def compare_with_reference(
    judgments: Judgments, reference: NDArray[np.int64], missing: Reason, resampling: Resampling
) -> ReferenceReport:
    """Every annotator against the reference label of each judgment, shape (n,), NONE where there is none.

    The overall share is pooled over judgments and its interval resamples items; an annotator's has Wilson's interval
    (one judgment an item), and a kappa from LEAST_COMMON items on, with a bootstrap over these.
    `missing` is the reason where nobody, or an annotator, has a judgment with a reference.
    """
    compared = reference != NONE
    shape = (judgments.annotators.size, judgments.categories, judgments.categories)
    where = (judgments.annotator[compared], judgments.label[compared], reference[compared])
    tables = np.bincount(np.ravel_multi_index(where, shape), minlength=int(np.prod(shape))).reshape(shape)
    totals = np.bincount(judgments.annotator, minlength=judgments.annotators.size)
    return ReferenceReport(
        overall=share_of_reference(judgments, reference, missing, resampling),
        annotators=[
            _one(annotator, total, table.astype(np.int64), missing, resampling)
            for annotator, total, table in zip(judgments.annotators.tolist(), totals.tolist(), tables, strict=True)
        ],
    )


def _one(
    annotator: Any, total: int, table: NDArray[np.int64], missing: Reason, resampling: Resampling
) -> AgainstReference:
    n = int(table.sum())
    if not n:
        return AgainstReference(annotator, total, 0, Undefined(missing), Undefined(missing))
    how = {"replicates": resampling.replicates, "level": resampling.level, "seed": resampling.seed}
    kappa = cohen_kappa(table, **how) if n >= LEAST_COMMON else Undefined(Reason.FEW_COMMON)
    return AgainstReference(annotator, total, n, same_label(table, resampling.level), kappa)


def share_of_reference(
    judgments: Judgments, reference: NDArray[np.int64], missing: Reason, resampling: Resampling
) -> Outcome:
    """The share of the judgments with a reference (n,) that are it; n of the estimate: their items, resampled whole."""
    compared = reference != NONE
    columns = [compared & (judgments.label == reference), compared & (judgments.label != reference)]
    size = judgments.items.size
    counts = np.stack([np.bincount(judgments.item[column], minlength=size) for column in columns], axis=1)
    counts = counts[counts.any(axis=1)].astype(np.int64)
    n = counts.shape[0]
    if n < 2:
        return Undefined(Reason.ONE_COMMON if n else missing)
    value = _EQUAL.of(counts)
    bounds = bootstrap_interval(
        counts, _EQUAL, replicates=resampling.replicates, level=resampling.level, seed=resampling.seed
    )
    low, high = bounds or wilson_interval(value * n, n, level=resampling.level)
    said = np.bincount(judgments.label[compared], minlength=judgments.categories)
    expected = np.bincount(reference[compared], minlength=judgments.categories)
    return Estimate(value=value, low=low, high=high, n=n, chance=float(said @ expected) / int(said.sum()) ** 2)


def _equal_and_all(counts: NDArray[np.int64]) -> Floats:
    return np.stack([counts[:, 0], counts.sum(axis=1)], axis=1).astype(float)


_EQUAL = PooledStatistic(terms=_equal_and_all, value=lambda sums: sums[..., 0] / sums[..., 1])
