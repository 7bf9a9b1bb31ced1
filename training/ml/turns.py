"""Whose turn it is to be answered, in the recipes that draw their own data."""

from __future__ import annotations

import random
from collections.abc import Sequence

from training.ml.prompt_data import AskedPrompt


class Turns:
    """Every prompt once, in a drawn order, then every prompt again in another; settled by the seed alone."""

    def __init__(self, prompts: Sequence[AskedPrompt], seed: int) -> None:
        self.prompts, self.seed = prompts, seed
        # Of the epoch that was asked for last: shuffling all prompts for each of them would take longer than an answer.
        self.epoch, self.order = -1, list(prompts)

    def __getitem__(self, turn: int) -> AskedPrompt:
        epoch, place = divmod(turn, len(self.prompts))
        if epoch != self.epoch:
            self.epoch = epoch
            self.order = random.Random(f"{self.seed}:{epoch}").sample(self.prompts, len(self.prompts))
        return self.order[place]
