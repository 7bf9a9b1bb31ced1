"""Dawid-Skene: a confusion matrix for every annotator, smoothed towards that of the whole crowd."""

from dataclasses import dataclass

import numpy as np

from annotate.statistics.confusion_em import Reading, climb, not_inferable, rows_to_one, votes_of_the_crowd
from annotate.statistics.estimate import Undefined
from annotate.statistics.judgments import Judgments
from annotate.statistics.truth import Floats, Truth

STRENGTH = 16.0
_ONE_VOTE = 1.0
_LOWEST = -200.0


@dataclass(frozen=True, eq=False)
class DawidSkene(Truth):
    """Truth, and what it was inferred with.

    confusion  (annotators, K true, K said), rows sum to 1
    crowd      (K true, K said), the matrix of an annotator of whom nothing is known
    prior      (K,) share of the classes
    """

    confusion: Floats
    crowd: Floats
    prior: Floats


@dataclass(frozen=True)
class _Matrices:
    confusion: Floats
    prior: Floats


def dawid_skene(judgments: Judgments, *, strength: float = STRENGTH) -> DawidSkene | Undefined:
    """Labels and confusion matrices by maximum a posteriori EM.

        P(l_ij = l | t_i = t) = C^j[t, l],   P(t_i = t) = p_t       two coins for two labels, K² cells in general
        C^j[t, ·] ~ Dirichlet(1 + s · crowd[t, ·]),   p ~ Dirichlet(2, ..., 2)
        crowd[t, l] ∝ `votes_of_the_crowd`, read off pairs of votes by two people, never inferred

    so C^j[t, l] = (N^j[t, l] + s · crowd[t, l]) / Σ_l: an annotator of two labels is judged by the crowd's matrix, one
    of two hundred by their own labels. Without smoothing, EM believes every coincidence of a worker with one label.
    s = `strength` is in votes per row. Of the powers of two, 16 predicted held-out labels best, or a thousandth of a
    nat worse than the best, on both comparison files that the tests use (2,564 and 8 annotators): docs/performance.md.
    reliability = Σ_t p_t C^j[t, t].

    Undefined without judgments, or when no item was judged by two annotators: then nothing tells a reliable one
    from another. Raises ValueError for a strength that is not above 0.
    Dawid & Skene (1979), Applied Statistics 28:20; partial pooling of annotators as in Paun et al. (2018), TACL 6:571.
    """
    if not strength > 0:
        raise ValueError(f"The strength of the smoothing must be above 0, got {strength}.")
    reason = not_inferable(judgments)
    if reason is not None:
        return Undefined(reason)
    crowd = rows_to_one(votes_of_the_crowd(judgments) + _ONE_VOTE / judgments.categories)
    pseudo_votes = strength * crowd

    def read(log_confusion: Floats, log_prior: Floats) -> Reading[_Matrices]:
        confusion, prior = rows_to_one(_exp(log_confusion)), rows_to_one(_exp(log_prior))
        return _reading(_Matrices(confusion, prior), pseudo_votes)

    def maximise(counts: Floats, posterior: Floats, _before: _Matrices | None) -> Reading[_Matrices]:
        matrices = _Matrices(rows_to_one(counts + pseudo_votes), rows_to_one(posterior.sum(axis=0) + _ONE_VOTE))
        return _reading(matrices, pseudo_votes)

    found = climb(judgments, maximise, read)
    matrices = found.parameters
    return DawidSkene(
        probabilities=found.posterior,
        reliability=np.einsum("jtt,t->j", matrices.confusion, matrices.prior),
        converged=found.converged,
        iterations=found.trace.size,
        log_likelihood=found.trace,
        confusion=matrices.confusion,
        crowd=crowd,
        prior=matrices.prior,
    )


def _reading(matrices: _Matrices, pseudo_votes: Floats) -> Reading[_Matrices]:
    log_confusion, log_prior = np.log(matrices.confusion), np.log(matrices.prior)
    log_density = (pseudo_votes * log_confusion).sum() + _ONE_VOTE * log_prior.sum()
    return Reading(matrices, log_confusion, log_prior, float(log_density))


def _exp(logs: Floats) -> Floats:
    """Up to a factor for each row, and never 0: its logarithm is taken again."""
    return np.exp(np.clip(logs - logs.max(axis=-1, keepdims=True), _LOWEST, 0.0))
