"""Judgments laid out for the coefficients: votes per item and category, and the labels two annotators share."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from annotate.statistics.judgments import Judgments

_LARGEST_KEY = 2**62


def count_matrix(judgments: Judgments) -> NDArray[np.int64]:
    """Votes per item and category, shape (n_items, categories); row i belongs to `judgments.items[i]`."""
    shape = (judgments.items.size, judgments.categories)
    cells = judgments.item * judgments.categories + judgments.label
    return np.bincount(cells, minlength=shape[0] * shape[1]).reshape(shape).astype(np.int64)


def paired_labels(judgments: Judgments, first: Any, second: Any) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The labels of two annotators (ids) on the items that both judged, each of shape (n_common,), in item order.

    An annotator without judgments shares no item: both arrays are then empty.
    """
    labels = np.full((2, judgments.items.size), -1, dtype=np.int64)
    for row, annotator in enumerate((first, second)):
        own = judgments.annotators[judgments.annotator] == annotator
        labels[row, judgments.item[own]] = judgments.label[own]
    common = (labels >= 0).all(axis=0)
    return labels[0, common], labels[1, common]


def crosstable(first: ArrayLike, second: ArrayLike, *, categories: int) -> NDArray[np.int64]:
    """Items by the labels of two annotators, (K, K): [c, k] is how often the first said c where the second said k.

    first, second: label codes of the same items, (n,) each.
    """
    cells = np.asarray(first, dtype=np.int64) * categories + np.asarray(second, dtype=np.int64)
    return np.bincount(cells, minlength=categories**2).reshape(categories, categories).astype(np.int64)


def paired_table(judgments: Judgments, first: Any, second: Any) -> NDArray[np.int64]:
    """The crosstable (K, K) of two annotators (ids) on the items that both judged."""
    return crosstable(*paired_labels(judgments, first, second), categories=judgments.categories)


def checked_counts(counts: ArrayLike) -> NDArray[np.int64]:
    """The matrix as int64. Raises ValueError unless it is (items, categories), whole and not negative."""
    matrix = np.asarray(counts)
    if matrix.ndim != 2:
        raise ValueError(f"Counts must have the shape (items, categories), got {matrix.shape}.")
    if matrix.size and not (np.isfinite(matrix) & (matrix >= 0) & (matrix == np.floor(matrix))).all():
        raise ValueError("Counts must be whole numbers of votes, zero or more.")
    return matrix.astype(np.int64)


def distinct_rows(counts: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The different rows of a count matrix, (distinct, categories), and how many items have each, (distinct,).

    Items with the same votes are interchangeable, and with few votes an item there are few kinds of
    them: a million items with three votes on a/tie/b are ten rows.
    """
    if not counts.size:
        return counts, np.ones(counts.shape[0], dtype=np.int64)
    base, categories = int(counts.max()) + 1, counts.shape[1]
    if base**categories > _LARGEST_KEY:
        rows, frequency = np.unique(counts, axis=0, return_counts=True)
        return rows, frequency
    powers = base ** np.arange(categories, dtype=np.int64)
    keys, frequency = np.unique(counts @ powers, return_counts=True)
    return keys[:, None] // powers % base, frequency
