"""Settings of a KTO run: single responses, each desirable or not, against the policy's frozen start."""

from __future__ import annotations

from dataclasses import dataclass, field

from training.recipes.adapters import AdapterConfig
from training.recipes.machine import MachineConfig
from training.recipes.optimizer import OptimizerConfig
from training.recipes.words import gettext_noop


@dataclass(frozen=True)
class KTOConfig(AdapterConfig, MachineConfig, OptimizerConfig):
    """An example is one response: the chosen one of a pair is desirable, the rejected one is not."""

    learning_rate: float = field(
        default=5e-5,
        metadata={
            "label": gettext_noop("Learning rate"),
            "help": gettext_noop(
                "The highest step size, reached after the warmup. Full fine-tuning wants about a tenth of it."
            ),
            "min": 1e-8,
            "max": 1.0,
            "source": "Ethayarajh et al. 2024 train all weights with 5e-6 or less; adapters need about ten times that",
        },
    )
    batch_size: int = field(
        default=8,
        metadata={
            "label": gettext_noop("Batch size"),
            "help": gettext_noop(
                "Responses computed at once. The divergence from the start is estimated within a batch, so two are the "
                "least, and more make it steadier."
            ),
            "min": 2,
            "max": 1024,
            "source": "Ethayarajh et al. 2024 (KTO), section 4; 8 responses are the 4 pairs of the other recipes",
        },
    )
    gradient_accumulation: int = field(
        default=2,
        metadata={
            "label": gettext_noop("Batches per step"),
            "help": gettext_noop(
                "Gradients of so many batches are added up before a step: a larger batch without its memory."
            ),
            "min": 1,
            "max": 1024,
            "source": "16 responses a step: as many as 8 pairs have",
        },
    )
    beta: float = field(
        default=0.1,
        metadata={
            "label": gettext_noop("Beta"),
            "help": gettext_noop("How strongly the policy is held near its start: larger stays nearer."),
            "min": 0.0001,
            "max": 100.0,
            "source": "Ethayarajh et al. 2024 (KTO), section 4",
        },
    )
    desirable_weight: float = field(
        default=1.0,
        metadata={
            "label": gettext_noop("Weight of desirable responses"),
            "help": gettext_noop(
                "Raise it where desirable responses are the fewer: weight times number should be alike."
            ),
            "min": 0.01,
            "max": 100.0,
            "source": "Ethayarajh et al. 2024 (KTO), section 4: pairs have as many of both, so 1 and 1",
        },
    )
    undesirable_weight: float = field(
        default=1.0,
        metadata={
            "label": gettext_noop("Weight of undesirable responses"),
            "help": gettext_noop("Raise it where undesirable responses are the fewer."),
            "min": 0.01,
            "max": 100.0,
            "source": "Ethayarajh et al. 2024 (KTO), section 4: pairs have as many of both, so 1 and 1",
        },
    )
