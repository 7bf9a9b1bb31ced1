"""Settings of a DPO run: a policy trained on pairs directly, held near its frozen start."""

from __future__ import annotations

from dataclasses import dataclass, field

from training.recipes.adapters import AdapterConfig
from training.recipes.optimizer import OptimizerConfig
from training.recipes.words import gettext_noop


@dataclass(frozen=True)
class DPOConfig(AdapterConfig, OptimizerConfig):
    """An example is a pair of responses to one prompt. The reference is the policy's frozen start."""

    learning_rate: float = field(
        default=5e-5,
        metadata={
            "label": gettext_noop("Learning rate"),
            "help": gettext_noop(
                "The highest step size, reached after the warmup. Full fine-tuning wants about a tenth of it."
            ),
            "min": 1e-8,
            "max": 1.0,
            "source": "ten times the 5e-6 customary for DPO of all weights, as adapters need",
        },
    )
    beta: float = field(
        default=0.1,
        metadata={
            "label": gettext_noop("Beta"),
            "help": gettext_noop("How strongly the policy is held near its start: larger stays nearer."),
            "min": 0.0001,
            "max": 100.0,
            "source": "Rafailov et al. 2023 (DPO), appendix B",
        },
    )
    label_smoothing: float = field(
        default=0.0,
        metadata={
            "label": gettext_noop("Label smoothing"),
            "help": gettext_noop("The share of the judgments taken to be wrong (conservative DPO)."),
            "min": 0.0,
            "max": 0.49,
            "source": "Mitchell 2023, A note on DPO with noisy preferences; 0 is plain DPO",
        },
    )
