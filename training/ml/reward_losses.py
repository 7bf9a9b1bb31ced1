"""The likelihoods of a reward model, one function each: plain tensors in, log-probabilities out.

Throughout, `difference` [...] is score(chosen) - score(rejected), and outcomes stand in the order chosen, tie,
rejected; nothing here knows models, tokens or settings.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import log_softmax, logsigmoid


def bradley_terry(difference: Tensor, margin: Tensor | float = 0.0) -> Tensor:
    """log P(chosen), log P(rejected), [..., 2]: log sigmoid(+-d) (Bradley and Terry 1952; Ouyang et al. 2022, eq. 1).

    `margin` m is taken off whichever response is said to have won, log sigmoid(+-d - m), so that the score has to lead
    by it (Touvron et al. 2023, Llama 2, eq. 2); the two are probabilities of one thing then only for m = 0.
    """
    return torch.stack([logsigmoid(difference - margin), logsigmoid(-difference - margin)], dim=-1)


def davidson(difference: Tensor, log_nu: Tensor) -> Tensor:
    """log-probabilities of the three outcomes, [..., 3] (Davidson 1970, eq. 2.6), with pi = e^score:

    P(chosen) = pi_c / (pi_c + pi_r + nu sqrt(pi_c pi_r)), P(tie) = nu sqrt(pi_c pi_r) / (the same).
    nu = 0 is Bradley-Terry; between equals a tie has the probability nu / (2 + nu).
    """
    half = difference / 2
    return log_softmax(torch.stack([half, log_nu.expand_as(half), -half], dim=-1), dim=-1)


def rao_kupper(difference: Tensor, threshold: Tensor) -> Tensor:
    """log-probabilities of the three outcomes, [..., 3] (Rao and Kupper 1967, eq. 2.4), with pi = e^score and
    theta = e^threshold > 1:

    P(chosen) = pi_c / (pi_c + theta pi_r), P(rejected) = pi_r / (pi_r + theta pi_c), and the rest is a tie:
    P(tie) = (theta^2 - 1) P(chosen) P(rejected). A difference below the threshold is not noticed; between equals a
    tie has the probability tanh(threshold / 2).
    """
    chosen, rejected = logsigmoid(difference - threshold), logsigmoid(-difference - threshold)
    # log(theta^2 - 1), which does not overflow
    room = 2 * threshold + torch.log(-torch.expm1(-2 * threshold))
    return torch.stack([chosen, room + chosen + rejected, rejected], dim=-1)


def cross_entropy(log_probabilities: Tensor, shares: Tensor) -> Tensor:
    """-sum over outcomes of share * log P, [..., outcomes] -> [...]: the loss expected over the votes."""
    return -(shares * log_probabilities).sum(dim=-1)


def smoothed_shares(shares: Tensor, flipped: float) -> Tensor:
    """The shares [..., outcomes] expected where a share `flipped` of the labels names the wrong response; a tie is one
    the other way round as well."""
    return (1 - flipped) * shares + flipped * shares.flip(-1)


def centring(chosen: Tensor, rejected: Tensor) -> Tensor:
    """(r_c + r_r)^2: differences say nothing about a score's level; this holds its mean at zero (Eisenstein et al.
    2023, section 3, as TRL's `center_rewards_coefficient` has it)."""
    return (chosen + rejected) ** 2


def log_nu_for(ties: float) -> float:
    """Davidson's log nu at which equals tie with the probability `ties`, 0 < ties < 1."""
    return math.log(2 * ties / (1 - ties))


def threshold_for(ties: float) -> float:
    """Rao and Kupper's threshold, ln theta, at which equals tie with the probability `ties`, 0 < ties < 1."""
    return 2 * math.atanh(ties)
