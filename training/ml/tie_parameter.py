"""The one number by which a likelihood with ties knows how often there are any; learned beside the model."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from training.ml.reward_losses import davidson, log_nu_for, rao_kupper, threshold_for
from training.recipes.reward import RewardConfig

FEWEST = 0.01  # a share of ties to begin with; of none at all nothing could be learned
RATE = 0.01  # per step: by an adapter's learning rate it would not come anywhere in a run


class TieParameter(nn.Module):
    """log nu of Davidson, or what Rao and Kupper's threshold is the softplus of, so that it stays positive.

    It begins where equals tie as often as the training data does: `share` is what of it counts for neither response.
    `moved` is how far it has come from there."""

    def __init__(self, share: float, config: RewardConfig) -> None:
        super().__init__()
        self.kind = config.ties
        share = min(max(share, FEWEST), 1 - FEWEST)
        if self.kind == "davidson":
            self.start = log_nu_for(share)
        else:
            self.start = math.log(math.expm1(threshold_for(share)))
        self.moved = nn.Parameter(torch.zeros(()))
        self.moved.rate_factor = RATE / config.learning_rate

    def log_probabilities(self, difference: Tensor) -> Tensor:
        """Of the three outcomes, [...] -> [..., 3]."""
        raw = self.start + self.moved
        return davidson(difference, raw) if self.kind == "davidson" else rao_kupper(difference, softplus(raw))

    def log_odds(self, difference: Tensor) -> Tensor:
        """That the first response wins and not the second one, where one of them does, [...], on whatever device."""
        won, _, lost = self.log_probabilities(difference.to(self.moved.device)).unbind(dim=-1)
        return (won - lost).to(difference.device)

    def facts(self) -> dict[str, str | float]:
        """The manifest's `ties`: by which likelihood, its parameter, and how often equals tie by it."""
        raw = torch.tensor(self.start) + self.moved.detach().cpu()
        name, value = ("nu", raw.exp()) if self.kind == "davidson" else ("theta", softplus(raw).exp())
        equal = self.log_probabilities(torch.zeros((), device=self.moved.device)).exp()[1]
        return {"likelihood": self.kind, name: value.item(), "between_equals": equal.item()}
