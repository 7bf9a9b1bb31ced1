"""Settings of a DPO run: a policy trained on pairs directly, held near its frozen start."""

from __future__ import annotations

from dataclasses import dataclass, field

from training.recipes.adapters import AdapterConfig
from training.recipes.fields import again
from training.recipes.machine import MachineConfig
from training.recipes.optimizer import OptimizerConfig
from training.recipes.watching import WatchedConfig
from training.recipes.words import gettext_noop

# The losses that are likelihoods of Bradley and Terry's model. IPO aims at a fixed margin and the hinge at 1: these are
# no odds.
LOG_ODDS = ("sigmoid", "robust")


@dataclass(frozen=True)
class DPOConfig(AdapterConfig, MachineConfig, WatchedConfig, OptimizerConfig):
    """An example is a pair of responses to one prompt. The reference is the policy's frozen start."""

    learning_rate: float | None = again(
        OptimizerConfig,
        "learning_rate",
        of_lora=5e-5,
        source="ten times the 5e-6 customary for DPO of all weights, as adapters need",
    )
    loss: str = field(
        default="sigmoid",
        metadata={
            "label": gettext_noop("Loss"),
            "help": gettext_noop(
                "sigmoid is plain DPO. ipo aims at a fixed margin and over-fits less, hinge stops once a pair is won, "
                "robust corrects for the share of wrong judgments given below."
            ),
            "choices": ("sigmoid", "ipo", "hinge", "robust"),
            "source": "Rafailov et al. 2023; Azar et al. 2023, IPO; Zhao et al. 2023, SLiC; Chowdhury et al. 2024",
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
            "help": gettext_noop(
                "The share of the judgments taken to be wrong: with sigmoid this is conservative DPO, with robust its "
                "effect on the gradient is taken out."
            ),
            "min": 0.0,
            "max": 0.49,
            "source": "Mitchell 2023, A note on DPO with noisy preferences; 0 is plain DPO",
        },
    )
    soft_labels: bool = field(
        default=False,
        metadata={
            "label": gettext_noop("Soft labels"),
            "help": gettext_noop(
                "A pair counts by the share of votes behind it, in both directions: 3 of 4 votes pull less than 4 of 4."
            ),
            "source": "the expected loss over the votes; Mitchell 2023 with one share for each pair",
        },
    )
    sft_weight: float = field(
        default=0.0,
        metadata={
            "label": gettext_noop("Weight of imitation"),
            "help": gettext_noop(
                "Adds this multiple of the chosen response's negative log-likelihood to the loss, which keeps its "
                "likelihood from falling."
            ),
            "min": 0.0,
            "max": 100.0,
            "source": "Pang et al. 2024 (iterative RPO), whose alpha is 1; 0 is plain DPO",
        },
    )
    length_alpha: float = field(
        default=1.0,
        metadata={
            "label": gettext_noop("Weight of surplus length"),
            "help": gettext_noop(
                "What the part of a response beyond the length of the other one counts; below 1, length matters less."
            ),
            "min": 0.0,
            "max": 1.0,
            "source": "Liu et al. 2024 (LD-DPO); 1 is plain DPO",
        },
    )

    @property
    def log_odds(self) -> bool:
        """Whether the loss takes the margin for the log-odds that the chosen response is the better one (Rafailov et
        al. 2023, eq. 6), be the labels hard, soft or smoothed."""
        return self.loss in LOG_ODDS

    @property
    def by_item(self) -> bool:
        return not self.sft_weight  # the likelihood is a mean over the batch's tokens
