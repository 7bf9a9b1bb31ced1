"""Settings that RLOO and GRPO share: how many responses to one prompt are measured against each other."""

from __future__ import annotations

from dataclasses import dataclass, field

from training.recipes.errors import RecipeError
from training.recipes.fields import again
from training.recipes.optimizer import OptimizerConfig
from training.recipes.rollouts import RolloutConfig
from training.recipes.words import gettext_noop


@dataclass(frozen=True)
class GroupConfig:
    """`epochs` counts passes over the prompts; a step holds whole groups only."""

    epochs: int = again(RolloutConfig, "epochs", source="our choice: with 100 prompts 50 steps; not tuned")
    batch_size: int = again(
        OptimizerConfig,
        "batch_size",
        8,
        help=gettext_noop("Responses computed at once. More takes more memory."),
        source="two groups of four",
    )
    gradient_accumulation: int = field(
        default=4,
        metadata={
            "label": gettext_noop("Gradient accumulation (batches per step)"),
            "help": gettext_noop("Batch size times this is the number of responses drawn for a step: whole groups."),
            "min": 1,
            "max": 1024,
            "source": "32 responses a step, as in PPO; our choice, not tuned",
        },
    )
    generations: int = field(
        default=4,
        metadata={
            "label": gettext_noop("Responses per prompt"),
            "help": gettext_noop("The group within which a response is measured. More give a steadier baseline."),
            "min": 2,
            "max": 1024,
            "source": "Ahmadian et al. 2024 (Back to Basics, RLOO), section 4: 2 or 4",
        },
    )
    updates: int = field(
        default=1,
        metadata={
            "label": gettext_noop("Updates per batch"),
            "help": gettext_noop("How many steps learn from the same responses before new ones are drawn."),
            "min": 1,
            "max": 64,
            "source": "1 is on-policy: Shao et al. 2024, section 4.2, take a single update",
        },
    )
    clip_range: float = field(
        default=0.2,
        metadata={
            "label": gettext_noop("Clip range"),
            "help": gettext_noop(
                "How far a probability may move within the updates of a batch before it stops counting."
            ),
            "min": 0.001,
            "max": 10.0,
            "source": "Schulman et al. 2017 (PPO), table 1",
        },
    )

    clip_range_high: float = field(
        default=0.0,
        metadata={
            "label": gettext_noop("Clip range upward"),
            "help": gettext_noop(
                "How far what becomes likelier may move, if further than what becomes unlikelier: rare tokens are then "
                "found sooner, and the entropy falls less. 0 takes the clip range for both."
            ),
            "min": 0.0,
            "max": 10.0,
            "before": 0.0,
            "source": "what TRL does unless told otherwise; Yu et al. 2025 (DAPO), section 3.1, clip at 0.28 above",
        },
    )

    def __post_init__(self) -> None:
        """Raises RecipeError if a step would cut a group in two, or for what AdapterConfig refuses."""
        super().__post_init__()  # it stands beside AdapterConfig in every recipe of groups
        if self.batch_size * self.gradient_accumulation % self.generations:
            raise RecipeError(
                "generations",
                gettext_noop("Batch size times batches per step (%(step)s) must be a multiple of this (%(group)s)."),
                step=self.batch_size * self.gradient_accumulation,
                group=self.generations,
            )
