"""Settings of an ORPO run: imitation and preference at once, without a reference."""

from __future__ import annotations

from dataclasses import dataclass, field

from training.recipes.adapters import AdapterConfig
from training.recipes.fields import again
from training.recipes.machine import MachineConfig
from training.recipes.optimizer import OptimizerConfig
from training.recipes.watching import WatchedConfig
from training.recipes.words import gettext_noop


@dataclass(frozen=True)
class ORPOConfig(AdapterConfig, MachineConfig, WatchedConfig, OptimizerConfig):
    """An example is a pair of responses to one prompt."""

    learning_rate: float | None = again(
        OptimizerConfig,
        "learning_rate",
        of_lora=5e-5,
        source="Hong et al. 2024 train all weights with 8e-6 and 5e-6; adapters need about ten times that",
    )
    beta: float = field(
        default=0.1,
        metadata={
            "label": gettext_noop("Beta"),
            "help": gettext_noop("Weight of the odds-ratio term relative to the SFT loss (lambda in the paper)."),
            "min": 0.0001,
            "max": 100.0,
            "source": "what TRL does unless told otherwise; it is the lambda of Hong et al. 2024 (ORPO)",
        },
    )
