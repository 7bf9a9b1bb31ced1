"""Conger's kappa: Cohen's for many annotators, each with label shares of their own."""

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from annotate.statistics.chance_corrected import Resampling, corrected_outcome, why_undefined
from annotate.statistics.counts import count_matrix
from annotate.statistics.estimate import Outcome, Undefined
from annotate.statistics.intervals import LEVEL, REPLICATES, Floats
from annotate.statistics.judgments import Judgments


def conger_kappa(judgments: Judgments, *, replicates: int = REPLICATES, level: float = LEVEL, seed: int = 0) -> Outcome:
    """Conger's kappa with a bootstrap interval over items.

        κ = (p_a - p_e) / (1 - p_e),  p_e = Σ_k p̄_k² - Σ_k s²_k / r

    p_gk is the share of label k among the judgments of annotator g, p̄_k its mean and s²_k its variance (r - 1) over
    the r annotators; p_a averages the agreeing pairs of the items with two judgments. For two annotators with the
    same items it is Cohen's kappa. chance of the estimate is p_e. Undefined as Fleiss' kappa is.
    Here items with equal votes are not alike (it matters who gave them), so that a million items take their time.
    Conger (1980), Psychological Bulletin 88:322; missing judgments as in Gwet (2014), Handbook of Inter-Rater
    Reliability, 4th ed., ch. 2.
    """
    counts = count_matrix(judgments)
    reason = why_undefined(counts)
    if reason is not None:
        return Undefined(reason)
    annotators, categories = judgments.annotators.size, judgments.categories

    def shares(sums: Floats) -> tuple[Floats, Floats]:
        pairable = sums[..., 1]
        observed = np.divide(sums[..., 0], pairable, out=np.full_like(pairable, np.nan), where=pairable > 0)
        return observed, _chance(sums[..., 2:].reshape(*sums.shape[:-1], annotators, categories))

    frequency = np.ones(counts.shape[0], dtype=np.int64)
    n = int((counts.sum(axis=1) >= 2).sum())
    return corrected_outcome(_terms(judgments, counts), frequency, shares, n, Resampling(replicates, level, seed))


def _terms(judgments: Judgments, counts: NDArray[np.int64]) -> csr_array:
    """Per item: agreement of its pairs, 1 if it has any, and who said what; sparse (items, 2 + annotators x K)."""
    total = counts.sum(axis=1)
    paired = np.flatnonzero(total >= 2)
    agreeing = (counts[paired] * (counts[paired] - 1)).sum(axis=1) / (total[paired] * (total[paired] - 1))
    said = 2 + judgments.annotator * judgments.categories + judgments.label
    column = np.concatenate([np.zeros_like(paired), np.ones_like(paired), said])
    number = np.concatenate([agreeing, np.ones(paired.size), np.ones(said.size)])
    row = np.concatenate([paired, paired, judgments.item])
    width = 2 + judgments.annotators.size * judgments.categories
    return csr_array((number, (row, column)), shape=(counts.shape[0], width))


def _chance(said: Floats) -> Floats:
    """p_e from who said what how often, (..., annotators, K); an annotator without a drawn item does not count."""
    total = said.sum(axis=-1, keepdims=True)
    present = total > 0
    share = np.divide(said, total, out=np.zeros_like(said), where=present)
    r = present.sum(axis=-2)
    mean = share.sum(axis=-2) / r
    spread = (((share - mean[..., None, :]) * present) ** 2).sum(axis=-2) / np.maximum(r - 1, 1)
    return (mean**2 - spread / r).sum(axis=-1)
