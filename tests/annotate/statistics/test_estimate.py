"""An outcome is a finite number with its interval, or a reason; both go to JSON."""

import json

import pytest

from annotate.statistics.estimate import Estimate, Reason, Undefined


def test_an_estimate_goes_to_json_with_its_interval_and_n() -> None:
    assert json.loads(json.dumps(Estimate(0.5, 0.4, 0.6, 12).as_json())) == {
        "value": 0.5,
        "low": 0.4,
        "high": 0.6,
        "n": 12,
    }


def test_the_chance_level_goes_along_where_there_is_one() -> None:
    assert Estimate(0.5, 0.4, 0.6, 12, chance=0.36).as_json()["chance"] == 0.36
    with pytest.raises(ValueError, match="must be finite"):
        Estimate(0.5, 0.4, 0.6, 12, chance=float("nan"))


def test_an_undefined_number_goes_to_json_with_its_reason() -> None:
    written = json.dumps(Undefined(Reason.NO_OVERLAP).as_json())
    assert json.loads(written) == {"value": None, "reason": "no item was judged by two annotators"}


@pytest.mark.parametrize("broken", [float("nan"), float("inf")])
def test_an_estimate_that_is_not_finite_cannot_be_made(broken: float) -> None:
    with pytest.raises(ValueError, match="must be finite"):
        Estimate(broken, 0.0, 1.0, 3)
