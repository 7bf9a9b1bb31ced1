"""Settings of a reward-model run: a score for a response, learned from pairs by the likelihood of their judgments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from training.recipes import adapters
from training.recipes.adapters import HEAD, AdapterConfig
from training.recipes.fields import again
from training.recipes.machine import MachineConfig
from training.recipes.optimizer import OptimizerConfig
from training.recipes.words import gettext_noop

METHODS = (*adapters.METHODS, HEAD)


def separate_adapters(config: Mapping[str, Any]) -> int:
    """As the property, of settings that nobody may have checked."""
    apart, members = (config.get("adapter"), config.get("ensemble_of")) == ("lora", "adapters"), config.get("members")
    return members if apart and isinstance(members, int) else 1


@dataclass(frozen=True)
class RewardConfig(AdapterConfig, MachineConfig, OptimizerConfig):
    """An example is a pair of responses to one prompt, or, grouped, a prompt with all of its pairs."""

    adapter: str = again(
        AdapterConfig,
        "adapter",
        help=gettext_noop(
            "What is trained. As in every other recipe; or head: the score head alone, on features of the texts "
            "that are computed once and kept."
        ),
        choices=METHODS,
    )
    epochs: int = again(OptimizerConfig, "epochs", only=adapters.METHODS)
    learning_rate: float | None = again(
        OptimizerConfig,
        "learning_rate",
        of_lora=2e-4,
        only=adapters.METHODS,
        source="low-rank adapters with a new score head; QLoRA (Dettmers et al. 2023) uses 2e-4 up to 13B",
    )
    gradient_accumulation: int = again(OptimizerConfig, "gradient_accumulation", only=adapters.METHODS)
    head_epochs: int = field(
        default=10,
        metadata={
            "label": gettext_noop("Epochs of the head"),
            "help": gettext_noop("How often every example is seen. One costs next to nothing: the features are there."),
            "min": 1,
            "max": 10000,
            "only": (HEAD,),
            "source": "measured: MiniLM, 60 to 2,129 human-judged pairs; 5 to 20 did alike on 582 held-out ones",
        },
    )
    head_learning_rate: float = field(
        default=3e-3,
        metadata={
            "label": gettext_noop("Learning rate of the head"),
            "help": gettext_noop("Peak learning rate of the head, whose features are scaled to a deviation of 1."),
            "min": 1e-8,
            "max": 1.0,
            "only": (HEAD,),
            "source": "measured: on the same pairs 0.001 to 0.003 did alike; 60 pairs want the larger one",
        },
    )
    head_batch_size: int = field(
        default=64,
        metadata={
            "label": gettext_noop("Batch size of the head"),
            "help": gettext_noop("Examples a step. Memory is no matter: they are a row of numbers each."),
            "min": 1,
            "max": 65536,
            "only": (HEAD,),
            "source": "measured: 10 epochs of 2,129 pairs took 0.9 s on one core, the features being there",
        },
    )
    head_l2: float = field(
        default=0.1,
        metadata={
            "label": gettext_noop("Penalty on the head (L2)"),
            "help": gettext_noop(
                "This multiple of half the squared weights is added to the loss: more keeps the head simpler."
            ),
            "min": 0.0,
            "max": 1000.0,
            "only": (HEAD,),
            "source": "measured: on the 2,129 pairs 20 epochs end at a held-out loss of 0.40, without it at 0.51",
        },
    )
    ties: str = field(
        default="drop",
        metadata={
            "label": gettext_noop("Ties"),
            "help": gettext_noop(
                "What becomes of pairs that nobody won. davidson and rao_kupper learn from them, with one more number "
                "for how often there are any; drop leaves them out."
            ),
            "choices": ("drop", "davidson", "rao_kupper"),
            "source": "Davidson 1970; Rao and Kupper 1967; without ties both are the Bradley-Terry likelihood",
        },
    )
    margin: float = field(
        default=0.0,
        metadata={
            "label": gettext_noop("Margin for strength"),
            "help": gettext_noop(
                "By how much the chosen response has to lead where the preference is as strong as can be; less where "
                "it is weaker. 0 asks for no lead. Strength is the mean of the degrees that annotators said: slightly "
                "better 1/3, better 2/3, much better 1. Where nobody was asked for a degree, it is how far the votes "
                "are from even: of one vote it is full."
            ),
            "min": 0.0,
            "max": 100.0,
            "only_if": {"ties": ("drop",)},
            "source": "Touvron et al. 2023 (Llama 2), equation 2, table 27: 1 (small) or 3 (large); 0 is Bradley-Terry",
        },
    )
    soft_labels: bool = field(
        default=False,
        metadata={
            "label": gettext_noop("Soft labels"),
            "help": gettext_noop(
                "A pair counts by the share of votes behind it, in both directions: 3 of 4 votes pull less than 4 of 4."
            ),
            "source": "the expected loss over the votes; off takes the majority for the truth",
        },
    )
    label_smoothing: float = field(
        default=0.0,
        metadata={
            "label": gettext_noop("Label smoothing"),
            "help": gettext_noop("The share of the judgments taken to name the wrong response."),
            "min": 0.0,
            "max": 0.49,
            "source": "Wang et al. 2024 (Secrets of RLHF II), section 3; 0 trusts every judgment",
        },
    )
    centring: float = field(
        default=0.0,
        metadata={
            "label": gettext_noop("Centring"),
            "help": gettext_noop(
                "Adds this multiple of the squared sum of both scores, which holds their mean at zero: differences "
                "alone leave the level of a score open."
            ),
            "min": 0.0,
            "max": 100.0,
            "source": "Eisenstein et al. 2023, section 3; TRL recommends 0.01; 0 is off",
        },
    )
    group_by_prompt: bool = field(
        default=False,
        metadata={
            "label": gettext_noop("All pairs of a prompt together"),
            "help": gettext_noop(
                "An example is then a prompt with all of its pairs, and counts once; each response is read once."
            ),
            "source": "Ouyang et al. 2022 (InstructGPT), section 3.5: pairs of a prompt spread over batches over-fit",
        },
    )
    members: int = field(
        default=1,
        metadata={
            "label": gettext_noop("Members of the ensemble"),
            "help": gettext_noop(
                "This many heads on one model, each begun and weighted apart: where they disagree, the score is not to "
                "be trusted. 1 is a single head."
            ),
            "min": 1,
            "max": 64,
            "source": "Osband et al. 2016 (Bootstrapped DQN): heads on a shared body; Coste et al. 2023 use 5 models",
        },
    )
    ensemble_of: str = field(
        default="heads",
        metadata={
            "label": gettext_noop("What the members have of their own"),
            "help": gettext_noop(
                "heads share one adapter, and cost nothing. adapters: every member is a LoRA of its own with its head, "
                "and differs in every layer; each reads every text, so time and memory grow with their number. A "
                "single member is the same either way."
            ),
            "choices": ("heads", "adapters"),
            "only": ("lora",),
            "source": "heads: one pass; Zhai et al. 2023 (uncertainty-penalised RLHF) use an ensemble of LoRAs",
        },
    )

    @property
    def separate_adapters(self) -> int:
        """How many LoRAs are trained side by side."""
        return separate_adapters(asdict(self))

    @property
    def by_item(self) -> bool:
        return True
