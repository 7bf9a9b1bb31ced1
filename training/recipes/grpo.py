"""Settings of a GRPO run: several responses to a prompt, each measured by its place among its siblings."""

from __future__ import annotations

from dataclasses import dataclass, field

from training.recipes.adapters import AdapterConfig
from training.recipes.fields import again
from training.recipes.groups import GroupConfig
from training.recipes.machine import MemoryConfig
from training.recipes.optimizer import OptimizerConfig
from training.recipes.rollouts import RolloutConfig
from training.recipes.words import gettext_noop


@dataclass(frozen=True)
class GRPOConfig(GroupConfig, RolloutConfig, AdapterConfig, MemoryConfig, OptimizerConfig):
    """A step draws `batch_size` times `gradient_accumulation` responses. The KL is a term of the loss."""

    epochs: int = again(
        GroupConfig, "epochs", 2, source="our choice: with 100 prompts 50 steps, as many as RLOO's; not tuned"
    )
    batch_size: int = again(GroupConfig, "batch_size", source="one group of eight")
    generations: int = again(
        GroupConfig,
        "generations",
        8,
        help=gettext_noop(
            "The group within which a response is measured. More give a steadier mean and deviation: four numbers tell "
            "the deviation to 40 per cent only, eight to 27."
        ),
        source="what TRL does unless told otherwise; Shao et al. 2024, section 4.2, take 64",
    )
    loss_type: str = field(
        default="dapo",
        metadata={
            "label": gettext_noop("Loss"),
            "help": gettext_noop(
                "What the loss is a mean of. grpo: of responses, so that a token of a long one counts less; dapo: of "
                "all tokens of the step; bnpo: of the tokens of each batch; dr_grpo: a sum over tokens, divided by as "
                "many as the responses may have at most, so that no length changes what a token counts."
            ),
            "choices": ("dapo", "grpo", "bnpo", "dr_grpo"),
            "before": "dapo",
            "source": "what TRL does unless told otherwise; Yu et al. 2025 (DAPO), Liu et al. 2025 (Dr. GRPO)",
        },
    )
    scale_rewards: str = field(
        default="group",
        metadata={
            "label": gettext_noop("Rewards divided by"),
            "help": gettext_noop(
                "group: the deviation within each prompt's group, which lets prompts on which the policy nearly always "
                "does alike count as much as others. batch: the deviation of all rewards of the step. none: nothing."
            ),
            "choices": ("group", "batch", "none"),
            "before": "group",
            "source": "what TRL does unless told otherwise; Liu et al. 2025 (Dr. GRPO) divide by nothing",
        },
    )
    kl_coefficient: float = field(
        default=0.04,
        metadata={
            "label": gettext_noop("KL coefficient"),
            "help": gettext_noop(
                "What leaving the reference costs, per token and nat; larger stays nearer. A term of the loss beside "
                "rewards that are scaled as said above: by the group, one deviation of its rewards is 1."
            ),
            "min": 0.0,
            "max": 100.0,
            "source": "Shao et al. 2024 (DeepSeekMath, GRPO), section 4.2",
        },
    )

    @property
    def by_item(self) -> bool:
        """Whether a response's loss is its own, whatever shares a batch with it."""
        return self.loss_type != "bnpo"
