"""What a model card is written from: plain values, no rows of the database and nobody's name."""

import re
import unicodedata
from dataclasses import dataclass, field
from typing import Any

from training.workflow.alignment_tax import Probed
from training.workflow.evaluation import Figure

PUNCTUATION = re.compile(r"([!-/:-@\[-`{-~])")


@dataclass(frozen=True)
class Data:
    """What a snapshot held, in numbers; nobody's name."""

    number: int
    content_hash: str
    judgments: int
    annotators: int
    guideline_versions: list[int]
    aggregation: str
    languages: dict[str, int]


@dataclass(frozen=True)
class Facts:
    """`parents` from the nearest to the base; `before`: adapters that must be merged into the base before this one;
    `train` and `test` count examples, `steps` those of the optimizer, 0 where nobody knows; `settings` differ from the
    recipe's defaults; `encoder`: the base is one; `members` of an ensemble; the words are in English."""

    name: str
    task: str
    form: str
    dtype: str
    base: str
    parents: list[str]
    before: int = 0
    recipe: str = ""
    title: str = ""
    adapter: str = ""
    adapter_title: str = ""
    merged: bool = False
    encoder: bool = False
    members: int = 1
    separate_adapters: int = 1
    data: Data | None = None
    demonstrations: str = ""
    feedback: str = ""
    reward_model: str = ""
    train: int = 0
    test: int = 0
    left_out: int = 0
    seen_before: dict[str, Any] | None = None
    steps: int = 0
    settings: list[tuple[str, str]] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)
    tax: list[Probed] = field(default_factory=list)
    seed: int = 0
    weights_sha256: str = ""
    packages: dict[str, str] = field(default_factory=dict)
    device: str = ""
    precision: str = ""
    commands: list[list[str]] = field(default_factory=list)


def counted(n: int, thing: str) -> str:
    """E.g. "1 judgment", "2 judgments"."""
    return f"{n} {thing}" if n == 1 else f"{n} {thing}s"


def plain(text: str) -> str:
    """One line in which every character is text: no markup, link, mention, HTML, break of line or of direction."""
    kept = (" " if unicodedata.category(char) in ("Cc", "Cf", "Zl", "Zp", "Cs") else char for char in text)
    return PUNCTUATION.sub(r"\\\1", " ".join("".join(kept).split()))
