"""Hypothesis strategies: random tables of judgments with missing values."""

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from annotate.statistics.judgments import Judgments

MISSING = -1


@st.composite
def raters_by_items(draw: st.DrawFn, categories: int = 3) -> NDArray[np.int64]:
    """(raters, items) of labels, MISSING where a rater did not judge an item."""
    shape = (draw(st.integers(1, 5)), draw(st.integers(1, 12)))
    return draw(arrays(np.int64, shape, elements=st.integers(MISSING, categories - 1)))


def judgments_of(table: NDArray[np.int64], categories: int = 3) -> Judgments:
    annotator, item = np.nonzero(table != MISSING)
    return Judgments.from_arrays(item, annotator, table[annotator, item], categories=categories)
