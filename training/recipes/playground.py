"""Settings of a playground: how long it waits for somebody, and how one response in it is drawn."""

from __future__ import annotations

from dataclasses import dataclass, field

from training.recipes.sample import SampleConfig
from training.recipes.words import gettext_noop

_SAMPLED = SampleConfig.__dataclass_fields__


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

    temperature: float = field(default=0.7, metadata=_SAMPLED["temperature"].metadata)
    top_p: float = field(default=0.9, metadata=_SAMPLED["top_p"].metadata)
    max_new_tokens: int = field(
        default=256,
        metadata={
            **_SAMPLED["max_new_tokens"].metadata,
            "max": 4096,
            "source": "our choice: a screen of text; somebody sits and waits for it",
        },
    )
