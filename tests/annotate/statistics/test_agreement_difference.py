"""The change of agreement between two states, with an interval that knows which items are in both."""

import numpy as np
import pytest

from annotate.statistics.agreement_difference import agreement_difference
from annotate.statistics.estimate import Estimate, Reason, Undefined
from annotate.statistics.krippendorff_alpha import krippendorff_alpha
from annotate.statistics.raw_agreement import raw_agreement

AGREE_A, AGREE_B, SPLIT = [2, 0, 0], [0, 0, 2], [1, 0, 1]
NOTHING = [0, 0, 0]


def _state(agree: int, split: int) -> np.ndarray:
    return np.array([AGREE_A] * (agree // 2) + [AGREE_B] * (agree - agree // 2) + [SPLIT] * split)


@pytest.mark.parametrize(
    ("coefficient", "alone"), [("raw_agreement", raw_agreement), ("krippendorff_alpha", krippendorff_alpha)]
)
def test_it_is_the_difference_of_the_two_coefficients(coefficient, alone) -> None:
    before, after = _state(20, 20), _state(34, 6)
    found = agreement_difference(before, after, coefficient)
    assert isinstance(found, Estimate)
    assert found.value == pytest.approx(alone(after).value - alone(before).value)
    assert found.low < found.value < found.high and found.n == 40


def test_items_of_one_state_only_are_no_votes_in_the_other() -> None:
    before, after = _state(20, 20), _state(34, 6)
    apart = agreement_difference(
        np.concatenate([before, np.zeros_like(after)]), np.concatenate([np.zeros_like(before), after])
    )
    assert apart.value == pytest.approx(agreement_difference(before, after).value) and apart.n == 80


def test_no_change_of_the_same_votes_has_no_width_to_speak_of_and_apart_it_has() -> None:
    state = _state(20, 20)
    apart = agreement_difference(
        np.concatenate([state, np.zeros_like(state)]), np.concatenate([np.zeros_like(state), state]), "raw_agreement"
    )
    assert apart.value == 0 and -0.35 < apart.low < -0.1 and 0.1 < apart.high < 0.35


def test_the_interval_of_independent_states_covers() -> None:
    """Normal theory: sd of the difference of two shares of 60 items each."""
    random, covered = np.random.default_rng(3), 0
    for seed in range(200):
        agree = random.binomial(60, [0.5, 0.7])
        states = [np.array([*([AGREE_A] * n), *([SPLIT] * (60 - n))]) for n in agree]
        nothing = np.zeros_like(states[0])
        found = agreement_difference(
            np.concatenate([states[0], nothing]), np.concatenate([nothing, states[1]]),
            "raw_agreement", replicates=300, seed=seed,
        )  # fmt: skip
        covered += found.low <= 0.2 <= found.high
    assert 180 <= covered <= 199


def test_a_state_without_a_coefficient_has_no_difference() -> None:
    state = _state(4, 4)
    assert agreement_difference(np.zeros_like(state), state) == Undefined(Reason.NO_JUDGMENTS)
    same = np.array([AGREE_A] * 8)
    assert agreement_difference(same, state) == Undefined(Reason.ONE_CATEGORY)
    assert agreement_difference(same, state, "raw_agreement").value == pytest.approx(-0.5)


def test_states_of_different_items_are_refused() -> None:
    with pytest.raises(ValueError, match="same items"):
        agreement_difference(_state(2, 2), _state(3, 3))
