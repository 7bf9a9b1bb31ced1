"""How a pair is decided, given how far the first is ahead: Bradley-Terry, Davidson's and Rao & Kupper's ties."""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, log_expit

from annotate.statistics.judgments import TIE, A, B
from annotate.statistics.truth import Floats

TieModel = Literal["plain", "davidson", "rao_kupper"]
TIE_MODELS: tuple[TieModel, ...] = get_args(TieModel)


@dataclass(frozen=True)
class Slopes:
    """Of every judgment's log-likelihood, at its lead η and the tie parameter τ; all (n,)."""

    value: Floats
    by_lead: Floats
    by_tie: Floats
    by_lead_twice: Floats
    by_tie_twice: Floats
    by_both: Floats


def probabilities(model: TieModel, lead: Floats, tie: float) -> Floats:
    """P(a), P(tie), P(b) for leads (n,), shape (n, 3).

    plain       P(a) = σ(η), no ties
    davidson    P(a) : P(tie) : P(b) = e^(η/2) : e^τ : e^(-η/2)
    rao_kupper  P(a) = σ(η - τ), P(b) = σ(-η - τ), the rest is ties; τ > 0

    Bradley & Terry (1952), Biometrika 39:324; Davidson (1970), JASA 65:317, eq. 2.6 (ν = e^τ);
    Rao & Kupper (1967), JASA 62:194, eq. 2.3 (θ = e^τ).
    """
    if model == "davidson":
        logits = np.stack([lead / 2, np.full_like(lead, tie), -lead / 2], axis=1)
        weight = np.exp(logits - logits.max(axis=1, keepdims=True))
        return weight / weight.sum(axis=1, keepdims=True)
    threshold = tie if model == "rao_kupper" else 0.0
    first, second = expit(lead - threshold), expit(-lead - threshold)
    between = np.expm1(2 * threshold) * first * second
    return np.stack([first, between, second], axis=1)


def slopes(model: TieModel, label: NDArray[np.int64], lead: Floats, tie: float) -> Slopes:
    """The log-likelihood of labels (n,) and its derivatives. In `plain`, a tie is half a win for each.

    All three are concave in (η, τ): what is linear in them has one maximum.
    """
    if model == "davidson":
        return _davidson(label, lead, tie)
    if model == "rao_kupper":
        return _rao_kupper(label, lead, tie)
    won = 1 - label / 2
    first = expit(lead)
    none = np.zeros_like(lead)
    value = won * log_expit(lead) + (1 - won) * log_expit(-lead)
    return Slopes(value, won - first, none, -first * (1 - first), none, none)


def _davidson(label: NDArray[np.int64], lead: Floats, tie: float) -> Slopes:
    p = probabilities("davidson", lead, tie)
    difference, decided = p[:, A] - p[:, B], p[:, A] + p[:, B]
    return Slopes(
        value=np.log(np.maximum(p[np.arange(label.size), label], np.finfo(float).tiny)),
        by_lead=(1 - label) / 2 - difference / 2,
        by_tie=(label == TIE) - p[:, TIE],
        by_lead_twice=-(decided - difference**2) / 4,
        by_tie_twice=-p[:, TIE] * (1 - p[:, TIE]),
        by_both=difference * p[:, TIE] / 2,
    )


def _rao_kupper(label: NDArray[np.int64], lead: Floats, tie: float) -> Slopes:
    """log P(tie) = log(e^(2τ) - 1) + log σ(η - τ) + log σ(-η - τ): a tie counts for both sides, and once more."""
    if tie <= 0:
        return Slopes(*(np.full_like(lead, -np.inf) for _ in range(6)))
    for_first, for_second, tied = (label != B) * 1.0, (label != A) * 1.0, (label == TIE) * 1.0
    first, second = expit(lead - tie), expit(-lead - tie)
    bend_first, bend_second = -for_first * first * (1 - first), -for_second * second * (1 - second)
    rise_first, rise_second = for_first * (1 - first), for_second * (1 - second)
    growth = 1 / -np.expm1(-2 * tie)
    return Slopes(
        value=for_first * log_expit(lead - tie)
        + for_second * log_expit(-lead - tie)
        + tied * np.log(np.expm1(2 * tie)),
        by_lead=rise_first - rise_second,
        by_tie=-rise_first - rise_second + 2 * tied * growth,
        by_lead_twice=bend_first + bend_second,
        by_tie_twice=bend_first + bend_second - 4 * tied * growth * (growth - 1),
        by_both=-bend_first + bend_second,
    )
