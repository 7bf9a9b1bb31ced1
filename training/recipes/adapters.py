"""Settings of what is trained in a model: all of its weights, some of them, or a small adapter beside them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from training.recipes.errors import RecipeError
from training.recipes.words import gettext_noop

AUTO = "auto"
LOW_RANK = ("lora", "qlora")
KEYS_BEFORE_THE_TEXT = ("prefix", "p_tuning_v2")
VIRTUAL_TOKENS = (*KEYS_BEFORE_THE_TEXT, "p_tuning", "prompt_tuning")
SELECTIVE = ("last_layers", "bias")
HEAD = "head"  # of a reward model; no other recipe has one
OWN_WEIGHTS = (*SELECTIVE, HEAD)  # trained and saved under the model's own names
METHODS = ("lora", "full", "qlora", "ia3", "houlsby", *VIRTUAL_TOKENS, *SELECTIVE)
# What becomes part of the model's own weights, so that something else can be trained on top of it.
MERGEABLE = frozenset({"full", "lora", "qlora", "ia3", *SELECTIVE})
# What each learns at, as a multiple of LoRA's learning rate: at one rate for all, half of the methods would not have
# learned yet, and others would have left. Full: a tenth, as customary. (IA)³: 0.003 in Liu et al. 2022, against 0.0001
# to 0.0002 of LoRA. Biases: 0.001 and more in Ben Zaken et al. 2022 (BitFit). Virtual tokens: 0.005 to 0.03 in Liu et
# al. 2022 (P-Tuning v2), 0.3 in Lester et al. 2021; and see docs/adapters.md for what they need on the demo model.
RATES = {
    "full": 0.1, "last_layers": 0.1, "ia3": 20.0, "bias": 10.0,
    "prefix": 5.0, "p_tuning_v2": 50.0, "p_tuning": 20.0, "prompt_tuning": 50.0,
}  # fmt: skip
HIGHEST_RATE = 0.1
TARGET = re.compile(r"[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)*")


def customary_rate(of_lora: float, adapter: str) -> float:
    """The learning rate of a method where LoRA would be trained at `of_lora`, in six digits: it is shown to people."""
    return float(f"{min(of_lora * RATES.get(adapter, 1.0), max(of_lora, HIGHEST_RATE)):.6g}")


@dataclass(frozen=True)
class AdapterConfig:
    """A field whose metadata has "only" counts for those adapters alone; the others do not look at it."""

    adapter: str = field(
        default="lora",
        metadata={
            "label": gettext_noop("Adapter"),
            "help": gettext_noop(
                "What is trained. lora: two thin matrices beside each layer; qlora: the same beside a model kept in "
                "4 bits; full: every weight; ia3: a factor for keys, values and feed-forward; houlsby: a bottleneck "
                "after attention and feed-forward; prefix, p_tuning_v2: keys and values before the text in every "
                "layer; p_tuning, prompt_tuning: virtual tokens before the text; last_layers: the last layers; bias: "
                "the biases."
            ),
            "choices": METHODS,
            "source": "LoRA reaches full fine-tuning on small data sets at a fraction of the memory (Hu et al. 2021)",
        },
    )
    rank: int = field(
        default=16,
        metadata={
            "label": gettext_noop("Rank"),
            "help": gettext_noop("Width of the adapter's matrices. More can learn more and takes more memory."),
            "min": 1,
            "max": 1024,
            "only": LOW_RANK,
            "source": "Hu et al. 2021, section 7.2: small ranks suffice; 16 leaves room",
        },
    )
    alpha: float = field(
        default=32.0,
        metadata={
            "label": gettext_noop("Alpha"),
            "help": gettext_noop("The adapter's output is scaled by alpha / rank."),
            "min": 0.01,
            "max": 10000.0,
            "only": LOW_RANK,
            "source": "twice the rank, the customary choice",
        },
    )
    dropout: float = field(
        default=0.0,
        metadata={
            "label": gettext_noop("Dropout"),
            "help": gettext_noop("The share of the adapter's inputs that is dropped while training."),
            "min": 0.0,
            "max": 0.9,
            "only": LOW_RANK,
            "source": "one epoch hardly over-fits",
        },
    )
    targets: str = field(
        default=AUTO,
        metadata={
            "label": gettext_noop("Target layers"),
            "help": gettext_noop(
                'Linear layers that get an adapter, separated by commas (q_proj,v_proj), or "auto" for all.'
            ),
            "only": LOW_RANK,
            "source": "Dettmers et al. 2023 (QLoRA), section 4: adapters on all linear layers match full fine-tuning",
        },
    )
    rslora: bool = field(
        default=False,
        metadata={
            "label": gettext_noop("Rank-stabilised scaling (rsLoRA)"),
            "help": gettext_noop("Scale by alpha / √rank instead: large ranks then learn as fast as small ones."),
            "only": LOW_RANK,
            "source": "Kalajdzievski 2023 (rsLoRA), equation 3; off is LoRA as published",
        },
    )
    dora: bool = field(
        default=False,
        metadata={
            "label": gettext_noop("Direction and magnitude (DoRA)"),
            "help": gettext_noop("Train the length of each weight column apart from its direction. Slower."),
            "only": LOW_RANK,
            "source": "Liu et al. 2024 (DoRA), equation 5; off is LoRA as published",
        },
    )
    bottleneck: int = field(
        default=64,
        metadata={
            "label": gettext_noop("Bottleneck"),
            "help": gettext_noop("Width of the adapter between its two matrices."),
            "min": 1,
            "max": 4096,
            "only": ("houlsby",),
            "source": "Houlsby et al. 2019, section 3.2: one size of 64 for all tasks is within 0.4 points of the best",
        },
    )
    virtual_tokens: int = field(
        default=20,
        metadata={
            "label": gettext_noop("Virtual tokens"),
            "help": gettext_noop("This many positions are put before the text; they take room in the model's context."),
            "min": 1,
            "max": 1024,
            "only": VIRTUAL_TOKENS,
            "source": "Lester et al. 2021, section 3.2: beyond 20 tokens the gains are marginal",
        },
    )
    encoder: str = field(
        default="mlp",
        metadata={
            "label": gettext_noop("Prompt encoder"),
            "help": gettext_noop("What makes the virtual tokens while training."),
            "choices": ("mlp", "lstm"),
            "only": ("p_tuning",),
            "source": "Liu et al. 2021 (P-Tuning), section 3.2: an LSTM with an MLP; the MLP alone is faster",
        },
    )
    encoder_hidden: int = field(
        default=512,
        metadata={
            "label": gettext_noop("Width of the prompt encoder"),
            "help": gettext_noop("Of its hidden layer. It is used while training only."),
            "min": 1,
            "max": 8192,
            "only": ("prefix", "p_tuning"),
            "source": "Li and Liang 2021 (Prefix-Tuning), section 4.3: 512 for table-to-text",
        },
    )
    layers: int = field(
        default=4,
        metadata={
            "label": gettext_noop("Last layers"),
            "help": gettext_noop("This many of the model's last layers are trained, with what follows them."),
            "min": 1,
            "max": 1000,
            "only": ("last_layers",),
            "source": "Lee et al. 2019 (What Would Elsa Do?): the last quarter of the layers reaches 90 % of quality",
        },
    )

    def __post_init__(self) -> None:
        """Raises RecipeError if `targets` is no list of layers' names. A learning rate that was left open (the field is
        OptimizerConfig's, which stands beside this in every recipe that trains) becomes the adapter's customary one."""
        wrong = [name for name in self.target_names() or () if not TARGET.fullmatch(name)]
        if self.adapter in LOW_RANK and wrong:
            said = gettext_noop("This must be names of layers separated by commas; %(name)s is none.")
            raise RecipeError("targets", said, name=repr(wrong[0]))
        if getattr(self, "learning_rate", 0.0) is None:
            of_lora = self.__dataclass_fields__["learning_rate"].metadata["of_lora"]
            object.__setattr__(self, "learning_rate", customary_rate(of_lora, self.adapter))

    @property
    def artifact_kind(self) -> str:
        """What such a run leaves: "full", a whole model, or "adapter", what goes onto the model it started from."""
        return "full" if self.adapter == "full" else "adapter"

    def target_names(self) -> tuple[str, ...] | None:
        """The layers' names, or None for all linear layers."""
        names = tuple(name.strip() for name in self.targets.split(",") if name.strip())
        return None if names in ((AUTO,), ()) else names
