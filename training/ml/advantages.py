"""How much better a token was than expected: generalised advantage estimation, and its whitening."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

TINY = 1e-8  # a batch without variance has advantages of 0, not of 0 / 0


def gae(rewards: Tensor, values: Tensor, discount: float, lambda_: float) -> Tensor:
    """Advantages [tokens] of one response; rewards and values [tokens], the value being that before its token.

    A_t = d_t + (discount * lambda) A_{t+1},  d_t = r_t + discount * V_{t+1} - V_t   (Schulman et al. 2016, eq. 16).
    A response is an episode: after its last token, EOS or not, nothing is to come, and V is 0. Computed on the host,
    one token after another: a GPU would start three kernels for each.
    """
    device, rewards, values = values.device, rewards.cpu(), values.cpu()
    following = torch.cat([values[1:], values.new_zeros(1)])
    deltas = rewards + discount * following - values
    advantages = torch.empty_like(deltas)
    carried = torch.zeros((), dtype=deltas.dtype)
    for t in range(len(deltas) - 1, -1, -1):
        carried = deltas[t] + discount * lambda_ * carried
        advantages[t] = carried
    return advantages.to(device)


def whitened(rows: Sequence[Tensor]) -> list[Tensor]:
    """The rows with mean 0 and variance 1 over all of their tokens: the size of a step no longer depends on the
    reward's unit. The variance is that of the batch itself (divided by n)."""
    values = torch.cat(list(rows))
    mean, variance = values.mean(), values.var(unbiased=False)
    return [(row - mean) * torch.rsqrt(variance + TINY) for row in rows]
