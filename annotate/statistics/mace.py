"""MACE: every annotator either knows the label or spams, each with their own share and habit of spamming."""

from dataclasses import dataclass

import numpy as np

from annotate.statistics.confusion_em import Reading, climb, not_inferable, rows_to_one, votes_of_the_crowd
from annotate.statistics.estimate import Undefined
from annotate.statistics.judgments import Judgments
from annotate.statistics.truth import Floats, Truth

STRENGTH = 8.0
_ONE_VOTE = 1.0
_LOWEST, _HIGHEST = 0.05, 0.95


@dataclass(frozen=True, eq=False)
class Mace(Truth):
    """Truth, and what it was inferred with.

    competence  (annotators,) share of labels given with knowledge
    spam        (annotators, K) what is said otherwise, rows sum to 1
    prior       (K,) share of the classes
    """

    competence: Floats
    spam: Floats
    prior: Floats


@dataclass(frozen=True)
class _Model:
    competence: Floats
    spam: Floats
    prior: Floats


def mace(judgments: Judgments, *, strength: float = STRENGTH) -> Mace | Undefined:
    """Labels, competence and spamming by maximum a posteriori EM.

        P(l_ij = l | t_i = t) = θ_j [l = t] + (1 - θ_j) ξ_jl,   P(t_i = t) = p_t
        p ~ Dirichlet(2, ..., 2)
        θ_j ~ Beta(1 + s c, 1 + s (1 - c)),   ξ_j ~ Dirichlet(1 + s · share of the labels among all)
        c = (A - Σ_l share_l²) / (1 - Σ_l share_l²),   A = share of right labels by `votes_of_the_crowd`

    so an annotator of few labels is taken for one of the crowd. s = `strength` is in votes; of the powers of two, 8
    predicted held-out labels best, or less than a thousandth of a nat worse, on both comparison files that the tests
    use: docs/performance.md. K parameters an annotator against K² of Dawid-Skene; nobody is worse than a spammer here,
    so an adversary is silenced, not turned round.
    reliability = θ_j + (1 - θ_j) Σ_t p_t ξ_jt.

    Hovy et al. (2013), NAACL, pp. 1120-1130; there a variational posterior with flat priors over random restarts, here
    the mode, with priors fitted to the crowd and one start, so that the same judgments give the same labels. There the
    true labels are uniform as well: where (almost) nobody says tie, only spamming can then explain that no third of the
    labels is one, and everybody would be taken for a spammer. Here their shares are learnt, as in `dawid_skene`.
    Undefined without judgments, or when no item was judged by two annotators.
    """
    reason = not_inferable(judgments)
    if reason is not None:
        return Undefined(reason)
    crowd = votes_of_the_crowd(judgments)
    habit = rows_to_one(crowd.sum(axis=0))
    annotators = judgments.annotators.size
    first = _Model(np.full(annotators, _competence_of_the_crowd(crowd)), np.tile(habit, (annotators, 1)), habit)
    knowing, spamming = strength * first.competence[0], strength * habit

    def maximise(counts: Floats, posterior: Floats, before: _Model | None) -> Reading[_Model]:
        known = np.einsum("jtt->jt", counts) * _share_of_knowledge(before or first)
        spam = rows_to_one(counts.sum(axis=1) - known + spamming)
        competence = (known.sum(axis=1) + knowing) / (counts.sum(axis=(1, 2)) + strength)
        prior = rows_to_one(posterior.sum(axis=0) + _ONE_VOTE)
        log_density = (spamming * np.log(spam)).sum() + _ONE_VOTE * np.log(prior).sum()
        log_density += (knowing * np.log(competence) + (strength - knowing) * np.log1p(-competence)).sum()
        return _reading(_Model(competence, spam, prior), float(log_density))

    found = climb(judgments, maximise)
    inferred = found.parameters
    return Mace(
        probabilities=found.posterior,
        reliability=inferred.competence + (1 - inferred.competence) * (inferred.spam @ inferred.prior),
        converged=found.converged,
        iterations=found.trace.size,
        log_likelihood=found.trace,
        competence=inferred.competence,
        spam=inferred.spam,
        prior=inferred.prior,
    )


def _competence_of_the_crowd(crowd: Floats) -> float:
    """c of `mace`, kept away from 0 and 1, where it would forbid what the labels may show."""
    agreement = np.trace(crowd) / crowd.sum()
    by_chance = float((rows_to_one(crowd.sum(axis=0)) ** 2).sum())
    return float(np.clip((agreement - by_chance) / max(1 - by_chance, 1e-9), _LOWEST, _HIGHEST))


def _share_of_knowledge(model: _Model) -> Floats:
    """P(not spamming | said the true label l), (annotators, K)."""
    knowing = model.competence[:, None]
    return knowing / (knowing + (1 - knowing) * model.spam)


def _reading(model: _Model, log_density: float) -> Reading[_Model]:
    categories = model.spam.shape[1]
    knowing = model.competence[:, None, None]
    confusion = knowing * np.eye(categories) + (1 - knowing) * model.spam[:, None, :]
    return Reading(model, np.log(confusion), np.log(model.prior), log_density)
