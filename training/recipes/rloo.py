"""Settings of an RLOO run: several responses to a prompt, each measured by how much better it is than its siblings."""

from __future__ import annotations

from dataclasses import dataclass, field

from training.recipes.adapters import AdapterConfig
from training.recipes.groups import GroupConfig
from training.recipes.machine import MemoryConfig
from training.recipes.optimizer import OptimizerConfig
from training.recipes.rollouts import RolloutConfig
from training.recipes.words import gettext_noop


@dataclass(frozen=True)
class RLOOConfig(GroupConfig, RolloutConfig, AdapterConfig, MemoryConfig, OptimizerConfig):
    """A step draws `batch_size` times `gradient_accumulation` responses. The KL is taken off the reward."""

    kl_coefficient: float = field(
        default=0.05,
        metadata={
            "label": gettext_noop("KL coefficient"),
            "help": gettext_noop(
                "What leaving the reference costs, per token and nat; larger stays nearer. The unit is the reward "
                "model's: what is right for scores from 0 to 1 is little for scores from -10 to 10."
            ),
            "min": 0.0,
            "max": 100.0,
            "source": "what TRL does unless told otherwise",
        },
    )
    normalize_advantages: bool = field(
        default=False,
        metadata={
            "label": gettext_noop("Normalised advantages"),
            "help": gettext_noop(
                "Mean 0 and deviation 1 over the responses of a step: its size then does not hang on the reward "
                "model's unit. The KL has been taken off by then."
            ),
            "before": False,
            "source": "what TRL does unless told otherwise",
        },
    )
