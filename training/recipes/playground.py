"""Settings of a playground: how long it waits for somebody, and how one response in it is drawn."""

from __future__ import annotations

from dataclasses import dataclass, field

from training.recipes.fields import again
from training.recipes.sample import SampleConfig
from training.recipes.words import gettext_noop


@dataclass(frozen=True)
class PlaygroundConfig:
    """Of the whole session: models are loaded once, and given back when nobody asks them anything."""

    idle_minutes: int = field(
        default=15,
        metadata={
            "label": gettext_noop("Ends after (idle minutes)"),
            "help": gettext_noop(
                "When nothing has been asked for so long, the models are unloaded: the device is free."
            ),
            "min": 1,
            "max": 240,
            "source": "our choice: a pause to think, and not a lunch on somebody else's GPU",
        },
    )


@dataclass(frozen=True)
class TalkConfig:
    """Of one message; it can be changed from one to the next."""

    temperature: float = again(SampleConfig, "temperature")
    top_p: float = again(SampleConfig, "top_p")
    max_new_tokens: int = again(
        SampleConfig,
        "max_new_tokens",
        256,
        max=4096,
        source="our choice: a screen of text; somebody sits and waits for it",
    )
