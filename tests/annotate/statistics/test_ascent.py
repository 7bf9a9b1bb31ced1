"""Climbing: whether a maximum was reached, or steps or evaluations were used up first."""

import numpy as np
import pytest

from annotate.statistics import ascent
from annotate.statistics.truth import Floats


def _ridge(point: Floats) -> tuple[float, Floats]:
    """Its maximum is sharp, so that a step takes several evaluations."""
    return -float(np.sum(np.abs(point) ** 1.1)), -1.1 * np.sign(point) * np.abs(point) ** 0.1


@pytest.mark.parametrize(("most", "reached"), [(2, False), (4, False), (8, False), (2000, True)])
def test_what_was_cut_short_has_not_converged(monkeypatch: pytest.MonkeyPatch, most: int, reached: bool) -> None:
    monkeypatch.setattr(ascent, "MAX_STEPS", most)
    found = ascent.ascend(_ridge, np.array([3.0, -2.0]), np.ones(2))
    assert found.converged == reached == bool(np.abs(found.point).max() < 1e-6)
    assert (np.diff(found.trace) >= 0).all()
    if most == 4:
        assert found.trace.size < most, "else this would not be the end of the evaluations"
