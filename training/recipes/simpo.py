"""Settings of a SimPO run: pairs compared by their mean log-probabilities, without a reference."""

from __future__ import annotations

from dataclasses import dataclass, field

from training.recipes.adapters import AdapterConfig
from training.recipes.fields import again
from training.recipes.machine import MachineConfig
from training.recipes.optimizer import OptimizerConfig
from training.recipes.watching import WatchedConfig
from training.recipes.words import gettext_noop


@dataclass(frozen=True)
class SimPOConfig(AdapterConfig, MachineConfig, WatchedConfig, OptimizerConfig):
    """An example is a pair of responses to one prompt."""

    learning_rate: float | None = again(
        OptimizerConfig,
        "learning_rate",
        of_lora=1e-5,
        source="Meng et al. 2024 train all weights with 3e-7 to 1e-6; adapters need about ten times that",
    )
    beta: float = field(
        default=2.0,
        metadata={
            "label": gettext_noop("Beta"),
            "help": gettext_noop(
                "Scales the difference of the mean log-probabilities; nothing holds the policy near its start."
            ),
            "min": 0.0001,
            "max": 100.0,
            "source": "Meng et al. 2024 (SimPO), who use 2.0 to 2.5",
        },
    )
    gamma: float = field(
        default=1.0,
        metadata={
            "label": gettext_noop("Target margin"),
            "help": gettext_noop("How far the chosen response must lead before a pair counts as learned."),
            "min": 0.0,
            "max": 100.0,
            "source": "Meng et al. 2024 (SimPO), who use 0.3 to 1.6, about half of beta",
        },
    )

    @property
    def by_item(self) -> bool:
        return True
