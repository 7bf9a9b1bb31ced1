"""The clipped losses of PPO for policy and value, and what is read from them."""

from __future__ import annotations

import torch
from torch import Tensor


def policy_losses(new: Tensor, old: Tensor, advantages: Tensor, clip_range: float) -> Tensor:
    """-min(r A, clip(r, 1 - e, 1 + e) A) with r = p_new / p_old, per token [tokens]: Schulman et al. 2017, eq. 7.

    `new` and `old` are log-probabilities of the tokens under the policy now and under the one that drew them.
    """
    ratio = (new - old).exp()
    return -torch.minimum(ratio * advantages, ratio.clamp(1 - clip_range, 1 + clip_range) * advantages)


def value_losses(new: Tensor, old: Tensor, returns: Tensor, clip_range: float) -> Tensor:
    """max((V - R)^2, (clip(V, V_old - e, V_old + e) - R)^2) / 2 per token [tokens]: the authors' code of PPO."""
    near = new.clamp(old - clip_range, old + clip_range)
    return torch.maximum((new - returns) ** 2, (near - returns) ** 2) / 2


def clipped_policy(new: Tensor, old: Tensor, advantages: Tensor, clip_range: float) -> Tensor:
    """1 for each token whose ratio the clip holds back (its gradient is then 0), [tokens]."""
    ratio = (new - old).exp()
    return (((ratio > 1 + clip_range) & (advantages > 0)) | ((ratio < 1 - clip_range) & (advantages < 0))).float()


def clipped_values(new: Tensor, old: Tensor, clip_range: float) -> Tensor:
    """1 for each token whose value has moved beyond the clip range, [tokens]."""
    return ((new - old).abs() > clip_range).float()


def explained_variance(values: Tensor, returns: Tensor) -> float:
    """1 - Var(returns - values) / Var(returns): 1 is a perfect value model, 0 one that knows only a constant.

    NaN where the returns do not vary, which a progress line shows as no number.
    """
    spread = returns.var(unbiased=False)
    return (1 - (returns - values).var(unbiased=False) / spread).item() if spread > 0 else float("nan")
