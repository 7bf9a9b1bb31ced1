"""Settings of a reward-model run: a score for a response, learned from pairs by the Bradley-Terry likelihood."""

from __future__ import annotations

from dataclasses import dataclass, field

from training.recipes.adapters import AdapterConfig
from training.recipes.optimizer import OptimizerConfig
from training.recipes.words import gettext_noop


@dataclass(frozen=True)
class RewardConfig(AdapterConfig, OptimizerConfig):
    """An example is a pair of responses to one prompt."""

    learning_rate: float = field(
        default=2e-4,
        metadata={
            "label": gettext_noop("Learning rate"),
            "help": gettext_noop(
                "The highest step size, reached after the warmup. Full fine-tuning wants about a tenth of it."
            ),
            "min": 1e-8,
            "max": 1.0,
            "source": "low-rank adapters with a new score head; QLoRA (Dettmers et al. 2023) uses 2e-4 up to 13B",
        },
    )
