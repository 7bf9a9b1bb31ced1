"""What a run shows of itself while it trains: settings that change nothing of what it learns."""

from __future__ import annotations

from dataclasses import dataclass, field

from training.recipes.words import gettext_noop


@dataclass(frozen=True)
class WatchedConfig:
    """Of recipes that learn from texts of others; those that learn from their own show these as they go."""

    samples_every: int = field(
        default=0,
        metadata={
            "label": gettext_noop("Steps between sample answers"),
            "help": gettext_noop(
                "Each time three held-out prompts are answered for the run's page: seconds on a GPU, half a minute on "
                "two CPU cores. 0: only before and after the training, and so with FSDP on several GPUs."
            ),
            "min": 0,
            "max": 1000000,
            "source": "our choice: on a CPU the answers would take as long as the steps between them",
        },
    )
