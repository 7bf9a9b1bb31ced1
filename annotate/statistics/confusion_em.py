"""Expectation maximisation over confusion matrices: the two steps and the climb that Dawid-Skene and MACE share."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
from scipy.sparse import csr_array

from annotate.statistics.counts import count_matrix
from annotate.statistics.estimate import Reason
from annotate.statistics.judgments import Judgments
from annotate.statistics.truth import Floats

Parameters = TypeVar("Parameters")

MAX_STEPS = 1000
PLAIN = 20  # steps before the first leap
TOLERANCE = 1e-8
PAIRS = 8.0
SCALINGS = 100


@dataclass(frozen=True)
class Reading(Generic[Parameters]):
    """Parameters as the E-step reads them.

    log_confusion  (annotators, K true, K said)
    log_prior      (K,) of the classes
    log_density    of the parameters under their prior, up to a constant
    """

    parameters: Parameters
    log_confusion: Floats
    log_prior: Floats
    log_density: float


@dataclass(frozen=True)
class Climb(Generic[Parameters]):
    """Where it ended: posterior (items, K), the parameters, and the objective after each step."""

    posterior: Floats
    parameters: Parameters
    converged: bool
    trace: Floats


def climb(
    judgments: Judgments,
    maximise: Callable[[Floats, Floats, Parameters | None], Reading[Parameters]],
    read: Callable[[Floats, Floats], Reading[Parameters]] | None = None,
) -> Climb[Parameters]:
    """EM from the vote shares as first posterior.

        E   P(t_i = t) ∝ p_t Π_j C^j[t, l_ij]
        M   maximise(N, posterior, parameters before),   N[j, t, l] = Σ_i P(t_i = t) [l_ij = l]

    Converged when a step gains less than TOLERANCE per judgment. The judgments are a sparse matrix, items x
    (annotator and label), and both steps are a product with it.

    Where labels are next to noise, EM takes thousands of small steps the same way. With `read`, which makes a reading
    of any log-confusion and log-prior (rows need not sum to 1), after every three steps from the PLAIN-th on it leaps
    as far as they say the way goes on, where that is higher than they came (SQUAREM, scheme S3): the objective never
    falls, and what converges in a few steps never leaps.
    Dempster, Laird & Rubin (1977), JRSS-B 39:1. Varadhan & Roland (2008), Scandinavian Journal of Statistics 35:335.
    """
    incidence = label_incidence(judgments)
    transposed = csr_array(incidence.T)
    posterior, parameters, trace = vote_share_matrix(judgments), None, []
    enough, converged = TOLERANCE * len(judgments), False
    way: list[Reading[Parameters]] = []  # since the last leap
    while not converged and len(trace) < MAX_STEPS:
        reading = maximise(_expected_counts(transposed, posterior), posterior, parameters)
        posterior, evidence = posterior_of(incidence, reading.log_confusion, reading.log_prior)
        parameters = reading.parameters
        trace.append(evidence + reading.log_density)
        converged = len(trace) > 1 and trace[-1] - trace[-2] < enough
        way = [*way[-2:], reading]
        if read is None or converged or len(trace) < PLAIN or len(way) < 3:
            continue
        leap, way = read(*_ahead(way)), []
        there, evidence = posterior_of(incidence, leap.log_confusion, leap.log_prior)
        if evidence + leap.log_density > trace[-1]:
            posterior, parameters = there, leap.parameters
            trace.append(evidence + leap.log_density)
    return Climb(posterior, parameters, converged, np.array(trace))


def _ahead(way: list[Reading[Parameters]]) -> tuple[Floats, Floats]:
    """θ_0 - 2αr + α²v with r = θ_1 - θ_0, v = θ_2 - θ_1 - r, α = -|r| / |v|, at most -1: log-confusion, log-prior."""
    first, second, third = (np.concatenate([one.log_confusion.ravel(), one.log_prior]) for one in way)
    step = second - first
    bend = third - second - step
    length = max(np.linalg.norm(step) / max(np.linalg.norm(bend), np.finfo(float).tiny), 1.0)
    found = first + 2 * length * step + length**2 * bend
    shape = way[0].log_confusion.shape
    size = int(np.prod(shape))
    return found[:size].reshape(shape), found[size:]


def label_incidence(judgments: Judgments) -> csr_array:
    """(items, annotators · K): 1 in column annotator · K + label."""
    said = judgments.annotator * judgments.categories + judgments.label
    shape = (judgments.items.size, judgments.annotators.size * judgments.categories)
    return csr_array((np.ones(len(judgments)), (judgments.item, said)), shape=shape)


def posterior_of(incidence: csr_array, log_confusion: Floats, log_prior: Floats) -> tuple[Floats, float]:
    """P(t_i = t | labels), (items, K), and the log-likelihood of all labels."""
    joint = incidence @ log_confusion.transpose(0, 2, 1).reshape(-1, log_prior.size) + log_prior
    highest = joint.max(axis=1, keepdims=True)
    weight = np.exp(joint - highest)
    total = weight.sum(axis=1, keepdims=True)
    return weight / total, float((np.log(total) + highest).sum())


def vote_share_matrix(judgments: Judgments) -> Floats:
    """Votes of an item by label as shares, (items, K)."""
    return rows_to_one(count_matrix(judgments).astype(float))


def votes_of_the_crowd(judgments: Judgments) -> Floats:
    """(K true, K said): how often one of all annotators says each label, by the true one; in all as many as there are.

        J[t, l] ∝ Σ_i (votes for t on item i) · (share of the others' votes there for l),   Σ_l J[t, l] = p_t
        J = Cᵀ diag(p) C with p_t C[t, l] = p_l C[l, t],   so diag(p) C = D^½ (D^-½ J D^-½)^½ D^½,   D = diag(p)

    The second line's condition is assumed: pairs of votes do not tell which of two labels is taken for the other. A
    vote is never compared with itself, and the root is taken because the others err as well: if everybody knows the
    label with probability θ and else says any by p, two of them agree with θ² beyond chance, and C = θ I + (1 - θ) p.
    J is scaled to the shares p of all labels (Sinkhorn & Knopp 1967), those of items with one vote too, and starts from
    PAIRS votes that agree and as many by chance: a few pairs shall not say that people know nothing.
    """
    counts = count_matrix(judgments).astype(float)
    votes = counts.sum(axis=1, keepdims=True)
    others = counts / np.maximum(votes - 1, 1) * (votes > 1)
    shares = rows_to_one(counts.sum(axis=0) + 1)
    pairs = others.T @ counts - np.diag(others.sum(axis=0))
    pairs += PAIRS * (np.diag(shares) + np.outer(shares, shares))
    for _ in range(SCALINGS):
        factor = np.sqrt(shares / rows_to_one(pairs.sum(axis=1)))
        pairs *= np.outer(factor, factor)
    root = np.sqrt(shares)
    squared, ways = np.linalg.eigh(pairs / pairs.sum() / np.outer(root, root))
    knowing = (ways * np.sqrt(np.maximum(squared, 0.0))) @ ways.T
    return len(judgments) * np.maximum(root[:, None] * knowing * root, 0.0)


def rows_to_one(votes: Floats) -> Floats:
    return votes / votes.sum(axis=-1, keepdims=True)


def not_inferable(judgments: Judgments) -> Reason | None:
    """Why nothing can be said of annotators: reliability is learnt from items that two of them judged."""
    if not len(judgments):
        return Reason.NO_JUDGMENTS
    return None if np.bincount(judgments.item).max() > 1 else Reason.NO_OVERLAP


def _expected_counts(transposed: csr_array, posterior: Floats) -> Floats:
    """N, (annotators, K true, K said)."""
    categories = posterior.shape[1]
    return (transposed @ posterior).reshape(-1, categories, categories).transpose(0, 2, 1)
