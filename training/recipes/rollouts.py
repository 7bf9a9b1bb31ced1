"""Settings of what PPO, RLOO and GRPO share: how the policy's responses are drawn, and what reward they get."""

from __future__ import annotations

from dataclasses import dataclass, field

from training.recipes.errors import RecipeError
from training.recipes.fields import again
from training.recipes.optimizer import OptimizerConfig
from training.recipes.words import gettext_noop


@dataclass(frozen=True)
class RolloutConfig:
    """The seed of a response is derived from the job's; what is drawn from is the whole vocabulary (no top-p): the
    probabilities that are trained must be those that were drawn from."""

    epochs: int = field(
        default=4,
        metadata={
            "label": gettext_noop("Epochs"),
            "help": gettext_noop("How often every prompt is answered, each time anew."),
            "min": 1,
            "max": 10000,
            "source": "our choice: with 100 prompts 13 steps; not tuned",
        },
    )
    checkpoint_every: int = again(
        OptimizerConfig,
        "checkpoint_every",
        5,
        source="our choice: a step draws and learns from a whole batch, which takes long",
    )
    dropout: float = field(
        default=0.0,
        metadata={
            "label": gettext_noop("Dropout"),
            "help": gettext_noop("Always off: the ratio of new to old probabilities would be noise otherwise."),
            "min": 0.0,
            "max": 0.0,
            "only": (),
            "source": "Ziegler et al. 2019, section 2.2: no dropout in the policy",
        },
    )
    max_new_tokens: int = field(
        default=64,
        metadata={
            "label": gettext_noop("Longest response (tokens)"),
            "help": gettext_noop(
                "A response that has not ended by then is cut, scored as it stands, and pays the penalty below."
            ),
            "min": 1,
            "max": 8192,
            "source": "our choice: drawing is most of a step's time on a CPU; not tuned",
        },
    )
    temperature: float = field(
        default=1.0,
        metadata={
            "label": gettext_noop("Temperature"),
            "help": gettext_noop(
                "Of the drawing, and of the probabilities that are trained. Less than 1 explores less."
            ),
            "min": 0.05,
            "max": 2.0,
            "source": "Ouyang et al. 2022 (InstructGPT), appendix C.4: sampling at temperature 1",
        },
    )
    missing_eos_penalty: float = field(
        default=1.0,
        metadata={
            "label": gettext_noop("Penalty for not ending"),
            "help": gettext_noop(
                "Taken off the score of a response that was cut before it ended; the unit is the reward model's."
            ),
            "min": 0.0,
            "max": 1000.0,
            "source": "our choice, not tuned; Bradley-Terry scores that differ by 1 are preferred 73 : 27",
        },
    )
    ensemble: str = field(
        default="mean",
        metadata={
            "label": gettext_noop("Reward of an ensemble"),
            "help": gettext_noop(
                "How the scores of a reward model with several members become one: their mean, the worst, or the mean "
                "less their disagreement. With one member all are the same."
            ),
            "choices": ("mean", "worst", "uncertainty"),
            "source": "Coste et al. 2023, Reward Model Ensembles Help Mitigate Overoptimization, section 3",
        },
    )
    uncertainty_weight: float = field(
        default=1.0,
        metadata={
            "label": gettext_noop("Weight of the disagreement"),
            "help": gettext_noop("This many standard deviations of the members' scores are taken off their mean."),
            "only_if": {"ensemble": ("uncertainty",)},
            "min": 0.0,
            "max": 100.0,
            "source": "our choice; Coste et al. 2023 subtract a multiple of the variance; not tuned",
        },
    )

    def __post_init__(self) -> None:
        """Raises RecipeError if no prompt could have its response, or for what AdapterConfig refuses."""
        super().__post_init__()  # it stands beside AdapterConfig and OptimizerConfig in every recipe of rollouts
        if self.max_new_tokens >= self.max_length:
            raise RecipeError(
                "max_new_tokens",
                gettext_noop(
                    "Prompt and response may have %(most)s tokens together (the longest example): the response alone "
                    "may not have %(room)s."
                ),
                most=self.max_length,
                room=self.max_new_tokens,
            )
