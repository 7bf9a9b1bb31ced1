"""Simulated comparisons of players whose strengths are known."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from annotate.statistics.paired_comparisons import PairedComparisons
from annotate.statistics.tie_models import TieModel, probabilities


def games(
    strength: NDArray[np.floating],
    n: int,
    random: np.random.Generator,
    *,
    model: TieModel = "davidson",
    tie: float = -0.5,
    overlap: int = 1,
    spread: float = 0.0,
    effects: Mapping[str, tuple[float, NDArray[np.floating]]] | None = None,
) -> PairedComparisons:
    """n items of two random players, `overlap` judgments each; `spread` is how far items differ from what the players'
    strengths say (standard deviation of the lead). effects: name -> (size, values (n · overlap,))."""
    first = random.integers(0, strength.size, n)
    second = (first + random.integers(1, strength.size, n)) % strength.size
    lead = strength[first] - strength[second] + random.normal(0, spread, n)
    first, second, lead, item = (np.repeat(column, overlap) for column in (first, second, lead, np.arange(n)))
    for size, values in (effects or {}).values():
        lead = lead + size * values
    p = probabilities(model, lead, tie)
    label = (random.random(lead.size)[:, None] > p.cumsum(axis=1)[:, :2]).sum(axis=1)
    columns = {name: values for name, (_size, values) in (effects or {}).items()}
    return PairedComparisons.from_arrays(first, second, label, items=item, effects=columns)
