"""How far the policy is from its reference: estimators from single tokens, and the coefficient that steers it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor

ERROR = 0.2  # Ziegler et al. 2019, section 2.2: the proportional error is clipped to this


def k1(new: Tensor, old: Tensor) -> Tensor:
    """log p - log q of tokens drawn from p = `new`: unbiased for KL(p || q), of either sign (Schulman 2020)."""
    return new - old


def k2(new: Tensor, old: Tensor) -> Tensor:
    """(log p - log q)^2 / 2: biased, but by little where the two are near, and it varies little (Schulman 2020)."""
    return (new - old) ** 2 / 2


def k3(new: Tensor, old: Tensor) -> Tensor:
    """(r - 1) - log r with r = q / p: unbiased for KL(p || q) and never negative (Schulman 2020)."""
    ratio = old - new
    return ratio.exp() - 1 - ratio


ESTIMATORS = {"k1": k1, "k3": k3}


@dataclass(frozen=True)
class KLControl:
    """`coefficient` after what has been measured so far; a fixed one has no target."""

    coefficient: float
    target: float | None
    gain: float = 0.1  # K_beta there

    def after(self, measured: float) -> KLControl:
        """b * (1 + K e), e = clip((KL - target) / target, -0.2, 0.2): Ziegler et al. 2019, section 2.2."""
        if self.target is None:
            return self
        error = min(max((measured - self.target) / self.target, -ERROR), ERROR)
        return replace(self, coefficient=self.coefficient * (1 + self.gain * error))
