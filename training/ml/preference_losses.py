"""The losses of the DPO family, one function each: plain tensors in, one loss per pair (or vote) out.

Throughout, `margin` [pairs] is beta times the difference of the two responses' log-ratios against the reference, unless
a docstring says otherwise, and nothing here knows models, tokens or settings.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

Loss = Callable[[Tensor], Tensor]


def logistic(margin: Tensor) -> Tensor:
    """-log sigmoid(m): DPO (Rafailov et al. 2023, eq. 7)."""
    return -logsigmoid(margin)


def hinge(margin: Tensor) -> Tensor:
    """max(0, 1 - m): SLiC-HF (Zhao et al. 2023, eq. 1) on normalised likelihoods, as RSO has it ("hinge-norm",
    Liu et al. 2023)."""
    return torch.relu(1 - margin)


def squared(difference: Tensor, beta: float) -> Tensor:
    """(h - 1/(2 beta))^2: IPO (Azar et al. 2023, eq. 17, whose tau is beta here).

    `difference` h [pairs] is not multiplied by beta. The recipe takes the mean log-ratio per token of each response,
    not its sum: the authors confirmed to TRL's that the paper's results were computed so.
    """
    return (difference - 1 / (2 * beta)) ** 2


def smoothed(loss: Loss, margin: Tensor, flipped: float | Tensor) -> Tensor:
    """(1 - e) loss(m) + e loss(-m), the loss expected where a share e of the labels is the wrong way round.

    With `logistic` it is conservative DPO (Mitchell 2023, eq. 3). `flipped` is one share for all or one per pair
    [pairs]: 1 - p for a soft label, the probability p that the chosen response is the better one.
    """
    return (1 - flipped) * loss(margin) + flipped * loss(-margin)


def robust(loss: Loss, margin: Tensor, flipped: float) -> Tensor:
    """((1 - e) loss(m) - e loss(-m)) / (1 - 2e): its mean over labels of which a share e < 1/2 was flipped is the loss
    of the true ones (Chowdhury et al. 2024, Provably Robust DPO, with `logistic`). It can be negative."""
    return ((1 - flipped) * loss(margin) - flipped * loss(-margin)) / (1 - 2 * flipped)


def target_margin(margin: Tensor, gamma: float) -> Tensor:
    """-log sigmoid(m - gamma): SimPO (Meng et al. 2024, eq. 6).

    `margin` here is beta times the difference of the mean log-probabilities per token; there is no reference.
    """
    return -logsigmoid(margin - gamma)


def log_odds_ratio(chosen: Tensor, rejected: Tensor) -> Tensor:
    """log(odds(chosen) / odds(rejected)), [pairs], with odds(p) = p / (1 - p) (Hong et al. 2024, ORPO, eq. 4).

    Both are mean log-probabilities per token, [pairs]; there is no reference. `logistic` of it is the second term of
    ORPO's loss (eq. 7); the first is the likelihood of the chosen response.
    """
    return (chosen - rejected) - (_log_one_minus_exp(chosen) - _log_one_minus_exp(rejected))


def prospect(reward: Tensor, baseline: Tensor, desirable: Tensor, weights: tuple[float, float]) -> Tensor:
    """w (1 - sigmoid(+-(r - z))): KTO (Ethayarajh et al. 2024, section 4.2), + for desirable responses, - for others.

    `reward` [votes] is beta times a response's log-ratio, `baseline` z a scalar, beta times the estimated KL, through
    which no gradient may flow; `desirable` [votes] is boolean; `weights` are those of desirable and undesirable ones.
    """
    sign = torch.where(desirable, 1.0, -1.0)
    weight = torch.where(desirable, weights[0], weights[1])
    return weight * (1 - torch.sigmoid(sign * (reward - baseline)))


def _log_one_minus_exp(value: Tensor) -> Tensor:
    """log(1 - e^x) for x < 0, exact at both ends (Maechler 2012, eq. 7)."""
    value = value.clamp(max=-1e-7)  # a response of probability 1 would have infinite odds
    near = value > -math.log(2)
    # Each branch gets a value that it can take: the gradient of the one not chosen must not be NaN.
    small = torch.where(near, value, -1.0)
    large = torch.where(near, -1.0, value)
    return torch.where(near, torch.log(-torch.expm1(small)), torch.log1p(-torch.exp(large)))
