"""Settings of a PPO run: a policy that answers prompts and is moved toward what the reward model likes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from training.recipes.adapters import AdapterConfig
from training.recipes.errors import RecipeError
from training.recipes.fields import again
from training.recipes.machine import MemoryConfig
from training.recipes.optimizer import OptimizerConfig
from training.recipes.rollouts import RolloutConfig
from training.recipes.words import gettext_noop


@dataclass(frozen=True)
class PPOConfig(RolloutConfig, AdapterConfig, MemoryConfig, OptimizerConfig):
    """A step draws `rollouts` responses and learns from them in `ppo_epochs` passes, `batch_size` times
    `gradient_accumulation` responses an update. `epochs` counts passes over the prompts."""

    # Beside the policy's loss; no setting, as no weight that is trained is of both, and AdamW knows no scale.
    value_coefficient: ClassVar[float] = 1.0

    learning_rate: float | None = again(
        OptimizerConfig,
        "learning_rate",
        of_lora=1e-4,
        source="the usual order of magnitude for low-rank adapters; ten times that of PPO of all weights",
    )
    rollouts: int = field(
        default=32,
        metadata={
            "label": gettext_noop("Responses per step"),
            "help": gettext_noop("This many responses are drawn, scored and learned from before the next are drawn."),
            "min": 2,
            "max": 65536,
            "source": "our choice: four updates a pass; Ziegler et al. 2019 take 512; not tuned",
        },
    )
    ppo_epochs: int = field(
        default=4,
        metadata={
            "label": gettext_noop("Passes over the responses"),
            "help": gettext_noop("How often a step learns from its responses before they are thrown away."),
            "min": 1,
            "max": 64,
            "source": "Ziegler et al. 2019, section 2.2: four epochs of minibatches",
        },
    )
    kl_coefficient: float = field(
        default=0.05,
        metadata={
            "label": gettext_noop("KL coefficient"),
            "help": gettext_noop(
                "What leaving the reference costs, per token and nat; larger stays nearer. The start, where adaptive. "
                "The unit is that of the scaled reward: with running scaling a deviation of all scores so far, which "
                "grows as they rise, so that the same coefficient weighs more; without scaling the reward model's."
            ),
            "min": 0.0,
            "max": 100.0,
            "source": "our choice between 0.02 (Ouyang et al. 2022, appendix C.4) and 0.1 to 0.15; not tuned",
        },
    )
    kl_control: str = field(
        default="adaptive",
        metadata={
            "label": gettext_noop("KL control"),
            "help": gettext_noop("adaptive steers the coefficient so that the KL stays near its target."),
            "choices": ("adaptive", "fixed"),
            "source": "Ziegler et al. 2019, section 2.2",
        },
    )
    kl_target: float = field(
        default=6.0,
        metadata={
            "label": gettext_noop("KL target (nats per response)"),
            "help": gettext_noop("How far from the reference the policy may go, where the control is adaptive."),
            "min": 0.001,
            "max": 10000.0,
            "source": "our choice, of the size Ziegler et al. 2019 aim at: a few nats for a short text; not tuned",
        },
    )
    kl_gain: float = field(
        default=0.5,
        metadata={
            "label": gettext_noop("KL gain"),
            "help": gettext_noop("How fast an adaptive coefficient follows: a fifth of this per step at most."),
            "min": 0.0,
            "max": 4.0,  # with 5 a single step could take the coefficient to 0, from which nothing brings it back
            "source": "our choice for runs of tens of steps; Ziegler et al. 2019, with thousands, take 0.1",
        },
    )
    kl_estimator: str = field(
        default="k1",
        metadata={
            "label": gettext_noop("KL estimator"),
            "help": gettext_noop(
                "k1, the log-ratio, holds the policy near its reference. k3 is never negative and varies less, but "
                "pulls in another direction: a policy that has gone far may not come back."
            ),
            "choices": ("k1", "k3"),
            "source": "Schulman 2020, Approximating KL Divergence; docs/architecture.md has what was measured",
        },
    )
    discount: float = field(
        default=1.0,
        metadata={
            "label": gettext_noop("Discount"),
            "help": gettext_noop("What a reward is still worth one token earlier (gamma)."),
            "min": 0.0,
            "max": 1.0,
            "source": "Ziegler et al. 2019, section 2.2: 1, the reward comes at the end",
        },
    )
    gae_lambda: float = field(
        default=0.95,
        metadata={
            "label": gettext_noop("GAE lambda"),
            "help": gettext_noop("1 trusts the rewards alone, 0 the value model alone."),
            "min": 0.0,
            "max": 1.0,
            "source": "Ziegler et al. 2019, section 2.2; Schulman et al. 2016, section 6.1",
        },
    )
    clip_range: float = field(
        default=0.2,
        metadata={
            "label": gettext_noop("Clip range"),
            "help": gettext_noop("How far the probability of a token may move within a step before it stops counting."),
            "min": 0.001,
            "max": 10.0,
            "source": "Schulman et al. 2017 (PPO), table 1",
        },
    )
    value_clip_range: float = field(
        default=0.2,
        metadata={
            "label": gettext_noop("Clip range of the value"),
            "help": gettext_noop("How far a predicted value may move within a step before it stops counting."),
            "min": 0.001,
            "max": 1000.0,
            "source": "the authors' code of PPO and of Ziegler et al. 2019; the unit is that of the scaled reward",
        },
    )
    value_learning_rate: float = field(
        default=3e-4,
        metadata={
            "label": gettext_noop("Learning rate of the value model"),
            "help": gettext_noop(
                "The value model is a low-rank adapter with a head, whatever the policy trains, and shares no trained "
                "weights with it: its rate goes by itself, on the same schedule."
            ),
            "min": 1e-8,
            "max": 1.0,
            "source": "measured on the fixture model beside three kinds of policies: docs/performance.md",
        },
    )
    early_stop_kl: float = field(
        default=0.03,
        metadata={
            "label": gettext_noop("Largest KL within a step"),
            "help": gettext_noop(
                "A step ends its passes when the policy is so far (nats per token) from the one that drew. 0 never."
            ),
            "min": 0.0,
            "max": 100.0,
            "source": "more than if all tokens stood at the edge of a clip of 0.2; docs/performance.md has runs",
        },
    )
    reward_scaling: str = field(
        default="running",
        metadata={
            "label": gettext_noop("Reward scaling"),
            "help": gettext_noop(
                "running takes off the mean of all scores so far and divides by their deviation; first takes mean "
                "and deviation of the first step's scores and keeps them, so that the KL coefficient means the same "
                "all the time."
            ),
            "choices": ("running", "first", "none"),
            "source": "our choice: a first step has few scores; Ziegler et al. 2019, section 2.1, scale once",
        },
    )
    reward_clip: float = field(
        default=5.0,
        metadata={
            "label": gettext_noop("Largest reward"),
            "help": gettext_noop("A scaled reward beyond this, on either side, counts as this. 0 clips nothing."),
            "only_if": {"reward_scaling": ("running", "first")},
            "min": 0.0,
            "max": 1000.0,
            "source": "our choice: five standard deviations, so that one odd score cannot take a step over",
        },
    )

    def __post_init__(self) -> None:
        """Raises RecipeError for a coefficient that could never move, or for what the parts of this refuse."""
        super().__post_init__()
        if self.kl_control == "adaptive" and not self.kl_coefficient:
            raise RecipeError(
                "kl_coefficient",
                gettext_noop(
                    "An adaptive coefficient is multiplied, so it cannot start at 0. Start it small, or choose fixed."
                ),
            )


@dataclass(frozen=True)
class OlderPPOConfig(PPOConfig):
    """Of a run from before the value model had a rate of its own: it learned at the policy's, and its loss had a weight
    that did next to nothing. Such a run can still be resumed; no new one is made."""

    value_learning_rate: float | None = field(default=None, metadata={"before": None})
    value_coefficient: float = field(default=0.5, metadata={"min": 0.0, "max": 100.0})
