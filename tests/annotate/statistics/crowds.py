"""Simulated crowds whose truth and reliabilities are known, and tables of judgments for properties."""

import numpy as np
from numpy.typing import NDArray

from annotate.statistics.judgments import Judgments


def crowd(
    accuracy: list[float], n_items: int, random: np.random.Generator, *, categories: int = 3, votes: int | None = None
) -> tuple[Judgments, NDArray[np.int64]]:
    """Annotator j is right with accuracy[j] and else says one of the other labels; `votes` of them an item (all)."""
    people = len(accuracy)
    truth = random.integers(0, categories, n_items)
    wrong = (truth[:, None] + random.integers(1, categories, (n_items, people))) % categories
    label = np.where(random.random((n_items, people)) < accuracy, truth[:, None], wrong)
    asked = random.random((n_items, people)).argsort(axis=1) < (votes or people)
    item, annotator = np.nonzero(asked)
    return Judgments.from_arrays(item, annotator, label[asked], categories=categories), truth


def swapped(judgments: Judgments) -> Judgments:
    """a for b and b for a."""
    return Judgments(
        judgments.items,
        judgments.annotators,
        judgments.item,
        judgments.annotator,
        judgments.categories - 1 - judgments.label,
        judgments.categories,
    )
