"""Settings of an SFT run: a policy that imitates demonstrations."""

from __future__ import annotations

from dataclasses import dataclass, field

from training.recipes.adapters import AdapterConfig
from training.recipes.fields import again
from training.recipes.machine import MachineConfig
from training.recipes.optimizer import OptimizerConfig
from training.recipes.watching import WatchedConfig
from training.recipes.words import gettext_noop


@dataclass(frozen=True)
class SFTConfig(AdapterConfig, MachineConfig, WatchedConfig, OptimizerConfig):
    """An example is a prompt with the response to imitate; the loss is the mean over the responses' tokens."""

    epochs: int = field(
        default=3,
        metadata={
            "label": gettext_noop("Epochs"),
            "help": gettext_noop(
                "How often every demonstration is seen. Watch the held-out loss: it rises when it is too often."
            ),
            "min": 1,
            "max": 100,
            "source": "Taori et al. 2023 (Alpaca) train for 3",
        },
    )
    learning_rate: float | None = again(
        OptimizerConfig,
        "learning_rate",
        of_lora=2e-4,
        source="QLoRA (Dettmers et al. 2023) uses 2e-4 up to 13B",
    )
    packing: str = field(
        default="auto",
        metadata={
            "label": gettext_noop("Packing"),
            "help": gettext_noop(
                "Puts the demonstrations of a batch into one row without padding. Only with flash attention, on a GPU: "
                "elsewhere they are sorted by length and padded, and little is lost."
            ),
            "choices": ("auto", "on", "off"),
            "source": "Krell et al. 2021, Efficient sequence packing without cross-contamination",
        },
    )

    @property
    def by_item(self) -> bool:
        return True
