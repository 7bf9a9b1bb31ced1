"""Ratings and ranks: a table of items by raters, checked once."""

import numpy as np
from numpy.typing import ArrayLike

from annotate.statistics.estimate import Reason
from annotate.statistics.intervals import Floats


def checked_ratings(ratings: ArrayLike) -> Floats:
    """The table (items, raters) as floats without the raters who rated nothing. Raises ValueError if malformed."""
    table = np.asarray(ratings, dtype=float)
    if table.ndim != 2:
        raise ValueError(f"Ratings must have the shape (items, raters), got {table.shape}.")
    if np.isinf(table).any():
        raise ValueError("Ratings must be finite numbers, or NaN where one is missing.")
    return table[:, ~np.isnan(table).all(axis=0)]


def complete_items(table: Floats) -> Floats:
    return table[~np.isnan(table).any(axis=1)]


def why_too_few(table: Floats, complete: Floats) -> Reason | None:
    """Why ratings (items, raters) by the same raters allow no coefficient; None where they do."""
    if not table.size:
        return Reason.NO_JUDGMENTS
    if table.shape[1] < 2:
        return Reason.ONE_ANNOTATOR
    return Reason.FEW_COMPLETE_ITEMS if complete.shape[0] < 2 else None
