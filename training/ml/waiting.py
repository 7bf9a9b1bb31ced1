"""Completions that have not begun, and what their prompts have been read to."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from transformers import PreTrainedModel

from training.ml.not_finite import require_numbers
from training.ml.slots import Kept, beginning, read_prompts


@dataclass
class Text:
    """A completion that is being drawn."""

    row: int
    generator: torch.Generator
    ids: list[int] = field(default_factory=list)


class Waiting:
    """Completions that have not begun, prompt by prompt. What a prompt was read to is kept until all of its completions
    have entered; what all prompts begin with, the system's words mostly, is read with the first ones."""

    def __init__(
        self, model: PreTrainedModel, prompts: Sequence[Sequence[int]], seeds: Sequence[Sequence[int]]
    ) -> None:
        self.model, self.prompts = model, prompts
        copies = len(seeds[0])
        self.queue = deque((n, n * copies + copy, seed) for n, row in enumerate(seeds) for copy, seed in enumerate(row))
        self._read: dict[int, tuple[torch.Tensor, Kept]] = {}
        self._shared = common_to(prompts)
        self._known: Kept | None = None

    def __bool__(self) -> bool:
        return bool(self.queue)

    def next(self, number: int) -> list[tuple[Text, torch.Tensor, Kept]]:
        """The next `number` of them, or what is left, each with the logits after its prompt and the prompt's keys and
        values."""
        chosen = [self.queue.popleft() for _ in range(min(number, len(self.queue)))]
        new = sorted({prompt for prompt, _, _ in chosen} - self._read.keys())
        if new:
            logits, kept = read_prompts(self.model, [self.prompts[prompt] for prompt in new], self._known)
            require_numbers(self.model, logits)
            if self._shared and self._known is None and self.queue:
                self._known = beginning(kept[0], self._shared)
            self._read |= {prompt: found for prompt, *found in zip(new, logits, kept, strict=True)}
        found = [(Text(row, torch.Generator().manual_seed(seed)), *self._read[prompt]) for prompt, row, seed in chosen]
        still = {prompt for prompt, _, _ in list(self.queue)[:1]}
        self._read = {prompt: read for prompt, read in self._read.items() if prompt in still}
        return found


def common_to(prompts: Sequence[Sequence[int]]) -> int:
    """How many tokens all of them begin with, less than the shortest one has: after its last one something is drawn."""
    first, last = min(prompts), max(prompts)  # in their order, these have the least in common
    most = min(map(len, prompts)) - 1
    return next((place for place in range(most) if first[place] != last[place]), most)
