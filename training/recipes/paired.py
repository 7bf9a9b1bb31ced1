"""What has changed between two measurements of the same items, with an interval over the items."""

from __future__ import annotations

from collections.abc import Sequence

import numpy

REPLICATES = 4000
# Beside the items: half an item that became right, half a one that became wrong, and one that stayed as it was.
ADDED = {-1.0: 0.5, 0.0: 1.0, 1.0: 0.5}


def difference(before: Sequence[float], after: Sequence[float], seed: int = 0) -> dict[str, float]:
    """{"value", "low", "high"}: mean(after) - mean(before) of what each item scored, 0 to 1, and the 95 % interval of a
    paired bootstrap: items are drawn again with both of their scores, so that how hard they are cancels out.

    Where few items changed, or none, a plain bootstrap says that hardly any difference is possible. So two items are
    added to those that are drawn from, as Agresti and Min add half a pair to each cell of two matched proportions
    (2005, Statistics in Medicine 24:729); the difference itself is left as it is.
    """
    changes = numpy.asarray(after, dtype=float) - numpy.asarray(before, dtype=float)
    values, counts = numpy.unique(numpy.concatenate([changes, list(ADDED)]), return_counts=True)
    weights = counts.astype(float)
    for change, weight in ADDED.items():
        weights[values == change] += weight - 1  # it was counted as a whole one above
    drawn = numpy.random.default_rng(seed).multinomial(changes.size, weights / weights.sum(), size=REPLICATES)
    low, high = numpy.quantile(drawn @ values / changes.size, [0.025, 0.975])
    value = float(changes.mean())
    return {"value": value, "low": min(float(low), value), "high": max(float(high), value)}


def credit(scores: Sequence[float], answer: int) -> float:
    """1 if the right choice has the highest score, 0 if not; choices that share it share the point."""
    best = max(scores)
    return float(scores[answer] == best) / sum(score == best for score in scores)
