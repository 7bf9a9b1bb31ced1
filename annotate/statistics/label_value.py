"""What N more judgments an item would do to the labels: expected accuracy and doubt, before they are asked for."""

from dataclasses import dataclass
from itertools import combinations_with_replacement

import numpy as np
from scipy.special import gammaln, ndtri, xlogy

from annotate.statistics.estimate import Estimate
from annotate.statistics.intervals import LEVEL
from annotate.statistics.truth import Floats

_ALIKE = 1e-9


@dataclass(frozen=True)
class LabelValue:
    """With `more` further judgments of every item.

    accuracy  expected share of items whose most probable label is the true one
    entropy   mean doubt left in a label, in bits
    gain      accuracy less that of now; its interval is over items, the crowd taken as known
    """

    more: int
    accuracy: float
    entropy: float
    gain: Estimate


def label_values(probabilities: Floats, confusion: Floats, most: int = 5, *, level: float = LEVEL) -> list[LabelValue]:
    """For 0, 1, ... `most` further judgments by people of the crowd.

        P(votes c) = Σ_t P(c, t),   P(c, t) = p_t · N! / Π c_l! · Π_l C[t, l]^c_l
        accuracy   = mean over items of Σ_c max_t P(c, t),   entropy = mean of Σ_c Σ_t -P(c, t) log2 P(t | c)

    probabilities  (items, K) posterior of the labels, as any truth inference gives it
    confusion      (K true, K said) of a new annotator, as `DawidSkene.crowd`

    Exact: all ways in which N votes can fall are summed. Believes the posterior: where that is too sure, so is this.
    Raises ValueError for no items, or probabilities and a confusion matrix that do not fit.
    Howard (1966), IEEE Trans. SSC 2:22 (value of information); Sheng, Provost & Ipeirotis (2008), KDD, pp. 614-622.
    """
    categories = probabilities.shape[1]
    if not probabilities.shape[0] or confusion.shape != (categories, categories):
        raise ValueError(
            f"Label values need an item, and a square confusion matrix: {probabilities.shape} and {confusion.shape}."
        )
    now = probabilities.max(axis=1)
    found = []
    for more in range(most + 1):
        accuracy, entropy = _after(probabilities, confusion, more)
        found.append(LabelValue(more, float(accuracy.mean()), float(entropy.mean()), _mean(accuracy - now, level)))
    return found


def _after(probabilities: Floats, confusion: Floats, more: int) -> tuple[Floats, Floats]:
    """Expected accuracy and entropy of each item, (items,) each."""
    accuracy, entropy = np.zeros(probabilities.shape[0]), np.zeros(probabilities.shape[0])
    log_confusion = np.log(np.maximum(confusion, np.finfo(float).tiny))
    for votes in combinations_with_replacement(range(confusion.shape[0]), more):
        fallen = np.bincount(votes, minlength=confusion.shape[0]) if more else np.zeros(confusion.shape[0])
        ways = gammaln(more + 1) - gammaln(fallen + 1).sum()
        joint = probabilities * np.exp(ways + log_confusion @ fallen)
        total = joint.sum(axis=1, keepdims=True)
        accuracy += joint.max(axis=1)
        entropy -= (xlogy(joint, joint) - xlogy(joint, total)).sum(axis=1) / np.log(2)
    return accuracy, entropy


def _mean(gain: Floats, level: float) -> Estimate:
    gain = np.maximum(gain, 0.0)
    spread = float(gain.std(ddof=1)) if gain.size > 1 else 0.0
    # Items that are all alike, or one alone, show no spread: that is not certainty.
    spread = (spread if spread > _ALIKE else float(gain.mean())) / np.sqrt(gain.size)
    half = float(ndtri((1 + level) / 2) * spread)
    value = float(gain.mean())
    return Estimate(value=value, low=max(0.0, value - half), high=value + half, n=gain.size)
