"""Settings of a KTO run: single responses, each desirable or not, against the policy's frozen start."""

from __future__ import annotations

from dataclasses import dataclass, field

from training.recipes.adapters import AdapterConfig
from training.recipes.dpo import DPOConfig
from training.recipes.fields import again
from training.recipes.machine import MachineConfig
from training.recipes.optimizer import OptimizerConfig
from training.recipes.watching import WatchedConfig
from training.recipes.words import gettext_noop

# Weight times number of the desirable responses over that of the others: Ethayarajh et al. 2024 (KTO), eq. 8, want 1 to
# 4/3. A twentieth more on either side is not worth a word.
BALANCED = (0.95, 1.4)
TOO_FEW_DESIRABLE = gettext_noop(
    "Weight times number of the desirable responses is %(ratio)s times that of the undesirable ones; it should be 1 to "
    "1.33 times. With %(weight)s as the weight of desirable responses it would be 1."
)
TOO_FEW_UNDESIRABLE = gettext_noop(
    "Weight times number of the desirable responses is %(ratio)s times that of the undesirable ones; it should be 1 to "
    "1.33 times. With %(weight)s as the weight of undesirable responses it would be 1."
)


@dataclass(frozen=True)
class KTOConfig(AdapterConfig, MachineConfig, WatchedConfig, OptimizerConfig):
    """An example is one response: the chosen one of a pair is desirable, the rejected one is not; a single vote says
    it itself."""

    learning_rate: float | None = again(
        OptimizerConfig,
        "learning_rate",
        of_lora=5e-5,
        source="Ethayarajh et al. 2024 train all weights with 5e-6 or less; adapters need about ten times that",
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
    gradient_accumulation: int = again(
        OptimizerConfig, "gradient_accumulation", 2, source="16 responses a step: as many as 8 pairs have"
    )
    beta: float = again(DPOConfig, "beta", source="Ethayarajh et al. 2024 (KTO), section 4")
    desirable_weight: float = field(
        default=1.0,
        metadata={
            "label": gettext_noop("Weight of desirable responses"),
            "help": gettext_noop(
                "Raise it where desirable responses are the fewer: weight × count should be about equal for both "
                "kinds, or up to a third more of the desirable ones."
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

    def unbalanced(self, desirable: float, undesirable: float) -> tuple[str, dict[str, str]] | None:
        """What is to be said of so many responses of either kind, a template and its values; None where weights and
        numbers go together, or one kind is lacking."""
        if not desirable or not undesirable:
            return None
        ratio = self.desirable_weight * desirable / (self.undesirable_weight * undesirable)
        low, high = BALANCED
        if low <= ratio <= high:
            return None
        few_desirable = ratio < low
        weight = self.desirable_weight / ratio if few_desirable else self.undesirable_weight * ratio
        template = TOO_FEW_DESIRABLE if few_desirable else TOO_FEW_UNDESIRABLE
        return template, {"ratio": f"{ratio:.2f}", "weight": f"{weight:.2f}"}
