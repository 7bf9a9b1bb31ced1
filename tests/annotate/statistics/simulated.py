"""Simulated projects whose true agreement is known."""

import numpy as np
from numpy.typing import NDArray

BASE_RATE = (0.45, 0.15, 0.4)


def votes(
    n_items: int, random: np.random.Generator, *, knows: float = 0.6, judgments: tuple[int, int] = (2, 5)
) -> NDArray[np.int64]:
    """Votes (n_items, 3): each annotator knows the item's label with probability `knows` and guesses otherwise."""
    overlap = random.integers(judgments[0], judgments[1] + 1, n_items)
    truth = random.choice(3, n_items, p=BASE_RATE)
    guess = random.choice(3, (n_items, judgments[1]), p=BASE_RATE)
    label = np.where(random.random(guess.shape) < knows, truth[:, None], guess)
    given = np.arange(judgments[1]) < overlap[:, None]
    return np.stack([((label == choice) & given).sum(axis=1) for choice in range(3)], axis=1)
