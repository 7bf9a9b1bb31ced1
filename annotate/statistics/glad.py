"""GLAD: annotators of different ability on items of different difficulty."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, log_expit

from annotate.statistics.ascent import ascend
from annotate.statistics.confusion_em import not_inferable, rows_to_one
from annotate.statistics.estimate import Undefined
from annotate.statistics.judgments import Judgments
from annotate.statistics.truth import Floats, Truth

_MEAN_ABILITY = 1.0


@dataclass(frozen=True, eq=False)
class Glad(Truth):
    """Truth, and what it was inferred with.

    ability     (annotators,) α; 0 guesses, below 0 says the opposite
    difficulty  (items,) 1 / β, above 0; 1 is usual
    """

    ability: Floats
    difficulty: Floats


def glad(judgments: Judgments) -> Glad | Undefined:
    """Labels, abilities and difficulties at the mode of the marginal posterior.

        P(l_ij = t_i) = σ(α_j β_i),   every other label (1 - σ(α_j β_i)) / (K - 1),   t_i uniform
        α_j ~ N(1, 1),   log β_i ~ N(0, 1)
        ∂/∂(α_j β_i) log P(labels) = P(t_i = l_ij | labels) - σ(α_j β_i)

    The labels are summed out and the rest is climbed by its gradient: the same maximum as EM, in fewer steps.
    reliability: the mean of σ(α_j β_i) over the items that the annotator judged.

    With few judgments an item difficulty is hardly known, and the prior decides.
    Whitehill et al. (2009), NIPS 22, eq. 1 and section 3.1 (there log β ~ N(1, 1); one unit of α · β shifts with it).
    Undefined without judgments, or when no item was judged by two annotators.
    """
    reason = not_inferable(judgments)
    if reason is not None:
        return Undefined(reason)
    annotators, items = judgments.annotators.size, judgments.items.size

    def objective(point: Floats) -> tuple[float, Floats]:
        ability, log_beta = point[:annotators], point[annotators:]
        beta = np.exp(log_beta)
        posterior, evidence, skill = _labels(judgments, ability, beta)
        slope = posterior[judgments.item, judgments.label] - expit(skill)
        for_ability = np.bincount(judgments.annotator, slope * beta[judgments.item], minlength=annotators)
        for_beta = np.bincount(judgments.item, slope * skill, minlength=items)
        off = ability - _MEAN_ABILITY
        value = evidence - (off @ off + log_beta @ log_beta) / 2
        return value, np.concatenate([for_ability - off, for_beta - log_beta])

    start = np.concatenate([np.full(annotators, _MEAN_ABILITY), np.zeros(items)])
    known = np.concatenate([np.bincount(judgments.annotator), np.bincount(judgments.item)])
    found = ascend(objective, start, 1 + known / 4)
    ability, beta = found.point[:annotators], np.exp(found.point[annotators:])
    posterior, _evidence, skill = _labels(judgments, ability, beta)
    return Glad(
        probabilities=posterior,
        reliability=_mean_by_annotator(judgments.annotator, expit(skill)),
        converged=found.converged,
        iterations=found.trace.size,
        log_likelihood=found.trace,
        ability=ability,
        difficulty=1 / beta,
    )


def _labels(judgments: Judgments, ability: Floats, beta: Floats) -> tuple[Floats, float, Floats]:
    """P(t_i = t | labels) (items, K), the log-likelihood, and α_j β_i of every judgment (n,)."""
    categories, items = judgments.categories, judgments.items.size
    skill = ability[judgments.annotator] * beta[judgments.item]
    wrong = np.bincount(judgments.item, log_expit(-skill) - np.log(max(categories - 1, 1)), minlength=items)
    gain = skill + np.log(max(categories - 1, 1))
    right = np.bincount(judgments.item * categories + judgments.label, gain, minlength=items * categories)
    joint = wrong[:, None] + right.reshape(items, categories)
    highest = joint.max(axis=1, keepdims=True)
    weight = np.exp(joint - highest)
    evidence = float((np.log(weight.sum(axis=1)) + highest[:, 0]).sum() - items * np.log(categories))
    return rows_to_one(weight), evidence, skill


def _mean_by_annotator(annotator: NDArray[np.int64], values: Floats) -> Floats:
    return np.bincount(annotator, values) / np.bincount(annotator)
