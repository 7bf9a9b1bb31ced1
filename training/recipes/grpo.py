"""Settings of a GRPO run: several responses to a prompt, each measured by its place among its siblings."""

from __future__ import annotations

from dataclasses import dataclass, field

from training.recipes.adapters import AdapterConfig
from training.recipes.groups import GroupConfig
from training.recipes.machine import MemoryConfig
from training.recipes.optimizer import OptimizerConfig
from training.recipes.rollouts import RolloutConfig
from training.recipes.words import gettext_noop


@dataclass(frozen=True)
class GRPOConfig(GroupConfig, RolloutConfig, AdapterConfig, MemoryConfig, OptimizerConfig):
    """A step draws `batch_size` times `gradient_accumulation` responses. The KL is a term of the loss."""

    kl_coefficient: float = field(
        default=0.04,
        metadata={
            "label": gettext_noop("KL coefficient"),
            "help": gettext_noop("What leaving the reference costs, per token and nat; larger stays nearer."),
            "min": 0.0,
            "max": 100.0,
            "source": "Shao et al. 2024 (DeepSeekMath, GRPO), section 4.2",
        },
    )
