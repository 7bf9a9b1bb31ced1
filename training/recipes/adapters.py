"""Settings of what is trained in a model: all of its weights, or a small adapter beside them."""

from __future__ import annotations

from dataclasses import dataclass, field

from training.recipes.words import gettext_noop

AUTO = "auto"


@dataclass(frozen=True)
class AdapterConfig:
    """`rank`, `alpha`, `dropout` and `targets` belong to "lora"; "full" looks at none of them."""

    adapter: str = field(
        default="lora",
        metadata={
            "label": gettext_noop("Adapter"),
            "help": gettext_noop(
                "lora trains two thin matrices beside each layer; full trains every weight of the model."
            ),
            "choices": ("lora", "full"),
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
            "source": "Dettmers et al. 2023 (QLoRA), section 4: adapters on all linear layers match full fine-tuning",
        },
    )

    def target_names(self) -> tuple[str, ...] | None:
        """The layers' names, or None for all linear layers."""
        names = tuple(name.strip() for name in self.targets.split(",") if name.strip())
        return None if names in ((AUTO,), ()) else names
