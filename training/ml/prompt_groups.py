"""All pairs of one prompt as one example, so that every response is read once and a prompt counts once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from training.ml.pairs import Pair


@dataclass(frozen=True)
class PromptGroup:
    """The pairs of one prompt (Ouyang et al. 2022, section 3.5: of K responses up to K(K-1)/2)."""

    pairs: tuple[Pair, ...]
    units: int = 1  # the loss is a mean over prompts

    @property
    def id(self) -> str:
        return " ".join(pair.id for pair in self.pairs)

    @property
    def length(self) -> int:
        return max(pair.length for pair in self.pairs)

    @property
    def tokens(self) -> int:
        return sum(map(len, self._sequences()))

    @property
    def rows(self) -> int:
        return len(self._sequences())

    def _sequences(self) -> list[list[int]]:
        return distinct([ids for pair in self.pairs for ids in pair.sequences])[0]


def by_prompt(pairs: Sequence[Pair]) -> list[PromptGroup]:
    """In the order in which the prompts first come; prompts are the same if their tokens are."""
    found: dict[tuple[int, ...], list[Pair]] = {}
    for pair in pairs:
        found.setdefault(tuple(pair.prompt_ids), []).append(pair)
    return [PromptGroup(tuple(group)) for group in found.values()]


def distinct(sequences: Sequence[list[int]]) -> tuple[list[list[int]], list[int]]:
    """Every sequence once, and where each of the given ones stands among them."""
    places: dict[tuple[int, ...], int] = {}
    where = [places.setdefault(tuple(ids), len(places)) for ids in sequences]
    return [list(ids) for ids in places], where
