"""Crowd-BT: Bradley-Terry with ties out of the choices of annotators who may be careless, or turn everything round."""

from dataclasses import dataclass

import numpy as np
from scipy.special import expit, log_expit, logit

from annotate.statistics.ascent import ascend
from annotate.statistics.estimate import Reason, Undefined
from annotate.statistics.judgments import TIE, A, B
from annotate.statistics.paired_comparisons import PairedComparisons
from annotate.statistics.tie_models import probabilities
from annotate.statistics.truth import Floats, Truth

_SPREAD = 2.0
_FAITHFUL, _TURNED = 9.0, 1.0
_TIE_SPREAD = 10.0


@dataclass(frozen=True, eq=False)
class CrowdBT(Truth):
    """Truth (items, 3 for a, tie, b), and what it was inferred with. `reliability` is η of the model.

    strength  (P,) natural logarithm of the odds, shrunk towards 0
    tie       τ of Davidson's ties
    """

    strength: Floats
    tie: float


def crowd_bt(comparisons: PairedComparisons) -> CrowdBT | Undefined:
    """Strengths and reliabilities at the posterior mode.

        P(k says a) = η_k p_a + (1 - η_k) p_b,   P(k says tie) = p_tie,   P(k says b) = η_k p_b + (1 - η_k) p_a
        p_a : p_tie : p_b = e^(x/2) : e^τ : e^(-x/2),   x = s_first - s_second
        s ~ N(0, 2²),   η_k ~ Beta(1 + 9, 1 + 1),   τ ~ N(0, 10²)

    `probabilities` are p_a, p_tie and p_b: of the next vote of a faithful annotator, not of a true label, so they stay
    nearer to even than a posterior. Effects of the comparisons are not used. The priors keep everything finite where
    Bradley-Terry has no maximum: pairs that hang together with no other, players who won everything, an annotator of
    one choice. A pair with no other comparison leans on its own votes and on what else is known of those who gave them.
    Chen et al. (2013), WSDM, eq. 4 (without ties, with a virtual player as the prior); ties of Davidson (1970).
    Undefined without judgments.
    """
    if not len(comparisons):
        return Undefined(Reason.NO_JUDGMENTS)
    players, annotators = comparisons.players.size, comparisons.annotators.size

    def objective(point: Floats) -> tuple[float, Floats]:
        strength, faith, tie = point[:players], point[players:-1], point[-1]
        value, by_lead, by_faith, by_tie = _slopes(comparisons, strength, faith, tie)
        eta = expit(faith)
        value += -strength @ strength / (2 * _SPREAD**2) - tie**2 / (2 * _TIE_SPREAD**2)
        value += float((_FAITHFUL * log_expit(faith) + _TURNED * log_expit(-faith)).sum())
        for_strength = np.bincount(comparisons.first, by_lead, minlength=players) - np.bincount(
            comparisons.second, by_lead, minlength=players
        )
        for_faith = np.bincount(comparisons.annotator, by_faith, minlength=annotators)
        prior_of_faith = _FAITHFUL - (_FAITHFUL + _TURNED) * eta
        return float(value), np.concatenate(
            [for_strength - strength / _SPREAD**2, for_faith + prior_of_faith, [by_tie - tie / _TIE_SPREAD**2]]
        )

    start = np.concatenate([np.zeros(players), np.full(annotators, logit(_FAITHFUL / (_FAITHFUL + _TURNED))), [0.0]])
    found = ascend(objective, start, _curvature(comparisons))
    strength, tie = found.point[:players], float(found.point[-1])
    _, place = np.unique(comparisons.item, return_index=True)
    return CrowdBT(
        probabilities=probabilities(
            "davidson", strength[comparisons.first[place]] - strength[comparisons.second[place]], tie
        ),
        reliability=expit(found.point[players:-1]),
        converged=found.converged,
        iterations=found.trace.size,
        log_likelihood=found.trace,
        strength=strength,
        tie=tie,
    )


def _curvature(comparisons: PairedComparisons) -> Floats:
    """Of the log-posterior by strengths, logit η and τ, roughly: a quarter of a Bernoulli's for each judgment."""
    played = np.bincount(np.concatenate([comparisons.first, comparisons.second]), minlength=comparisons.players.size)
    judged = np.bincount(comparisons.annotator, minlength=comparisons.annotators.size)
    faith = (_FAITHFUL + _TURNED) * _FAITHFUL * _TURNED / (_FAITHFUL + _TURNED) ** 2
    return np.concatenate(
        [1 / _SPREAD**2 + played / 4, faith + judged / 16, [1 / _TIE_SPREAD**2 + len(comparisons) / 4]]
    )


def _slopes(
    comparisons: PairedComparisons, strength: Floats, faith: Floats, tie: float
) -> tuple[float, Floats, Floats, float]:
    """The log-likelihood and its slopes by the lead and by logit η of each judgment, (n,) each, and by τ."""
    p = probabilities("davidson", strength[comparisons.first] - strength[comparisons.second], tie)
    eta = expit(faith)[comparisons.annotator]
    said, opposite = (np.where(comparisons.label == A, p[:, one], p[:, other]) for one, other in ((A, B), (B, A)))
    sign = 1.0 - comparisons.label
    ahead, tied = p[:, A] - p[:, B], comparisons.label == TIE
    likelihood = np.where(tied, p[:, TIE], eta * said + (1 - eta) * opposite)
    mean_lead = ahead / 2
    rise = (eta * said - (1 - eta) * opposite) * sign / 2
    by_lead = np.where(tied, -mean_lead, rise / likelihood - mean_lead)
    by_faith = np.where(tied, 0.0, (said - opposite) / likelihood * eta * (1 - eta))
    return float(np.log(likelihood).sum()), by_lead, by_faith, float((tied - p[:, TIE]).sum())
