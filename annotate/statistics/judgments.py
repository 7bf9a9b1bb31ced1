"""The one input of the room: who gave which label to which item, checked and coded once."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

A, TIE, B = 0, 1, 2
"""Label codes of a comparison; their order is the order of the ordinal coefficients."""

CHOICES = 3


class DuplicateJudgment(ValueError):
    """One annotator has two labels for one item: which of them counts is the caller's decision."""


@dataclass(frozen=True)
class Judgments:
    """n judgments as three arrays of codes, with the ids that the codes stand for.

    items       (n_items,)       distinct ids, sorted; `item[i]` indexes them
    annotators  (n_annotators,)  distinct ids, sorted; `annotator[i]` indexes them
    item, annotator, label       (n,) int64; label in 0 .. categories - 1
    """

    items: NDArray[Any]
    annotators: NDArray[Any]
    item: NDArray[np.int64]
    annotator: NDArray[np.int64]
    label: NDArray[np.int64]
    categories: int

    @classmethod
    def from_arrays(
        cls, items: ArrayLike, annotators: ArrayLike, labels: ArrayLike, *, categories: int = CHOICES
    ) -> Self:
        """Codes ids (numbers or strings) and label codes, all of shape (n,).

        Raises ValueError for unequal lengths or a label outside 0 .. categories - 1, and
        DuplicateJudgment where an annotator judged an item twice.
        """
        label = checked_labels(labels, categories)
        item_ids, item = np.unique(np.asarray(items), return_inverse=True)
        annotator_ids, annotator = np.unique(np.asarray(annotators), return_inverse=True)
        if not item.shape == annotator.shape == label.shape:
            raise ValueError(
                "Items, annotators and labels must have the same length, "
                f"got {item.size}, {annotator.size} and {label.size}."
            )
        judgments = cls(item_ids, annotator_ids, item.astype(np.int64), annotator.astype(np.int64), label, categories)
        judgments._refuse_duplicates()
        return judgments

    def __len__(self) -> int:
        return self.label.size

    def _refuse_duplicates(self) -> None:
        cell, times = np.unique(self.item * max(self.annotators.size, 1) + self.annotator, return_counts=True)
        if not (times > 1).any():
            return
        item, annotator = divmod(int(cell[times > 1][0]), self.annotators.size)
        raise DuplicateJudgment(
            f"Annotator {self.annotators[annotator]} has more than one label for item {self.items[item]} "
            f"({int((times > 1).sum())} such cells in all); pass the one that counts."
        )


def checked_labels(labels: ArrayLike, categories: int) -> NDArray[np.int64]:
    """The label codes as int64, (n,). Raises ValueError unless each is one of 0 .. categories - 1."""
    label = np.asarray(labels)
    if label.size == 0:
        return np.zeros(0, dtype=np.int64)
    if label.ndim != 1 or not np.issubdtype(label.dtype, np.integer):
        raise ValueError(f"Labels must be a flat array of integer codes, got {label.dtype} of shape {label.shape}.")
    wrong = np.flatnonzero((label < 0) | (label >= categories))
    if wrong.size:
        raise ValueError(
            f"Label {label[wrong[0]]} of judgment {wrong[0]} is not one of the codes 0 to {categories - 1} "
            f"({wrong.size} such labels in all)."
        )
    return label.astype(np.int64)
