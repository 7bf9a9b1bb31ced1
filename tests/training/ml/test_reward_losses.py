"""The likelihoods of a reward model against their closed forms, their limits, and what all of them have to be."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from training.ml.reward_losses import (
    bradley_terry,
    centring,
    cross_entropy,
    davidson,
    log_nu_for,
    rao_kupper,
    smoothed_shares,
    threshold_for,
)

pytestmark = pytest.mark.not_db

scores = st.floats(-20, 20)
parameters = st.floats(0.01, 5)
shares = st.floats(0.01, 0.95)


def exact(*values: float) -> list[torch.Tensor]:
    return [torch.tensor(value, dtype=torch.float64) for value in values]


@given(difference=scores, margin=st.floats(0, 3))
def test_bradley_terry_with_a_margin_is_llama_2s_equation(difference: float, margin: float) -> None:
    chosen, rejected = bradley_terry(*exact(difference, margin)).tolist()
    assert chosen == pytest.approx(-math.log1p(math.exp(-(difference - margin))), abs=1e-6)
    assert rejected == pytest.approx(-math.log1p(math.exp(difference + margin)), abs=1e-6)


@given(better=scores, worse=scores, nu=parameters)
def test_davidsons_probabilities_are_those_of_the_paper(better: float, worse: float, nu: float) -> None:
    a, b = math.exp(better), math.exp(worse)
    whole = a + b + nu * math.sqrt(a * b)
    expected = [a / whole, nu * math.sqrt(a * b) / whole, b / whole]
    assert davidson(*exact(better - worse, math.log(nu))).exp().tolist() == pytest.approx(expected, abs=1e-6)


@given(better=scores, worse=scores, threshold=parameters)
def test_rao_and_kuppers_probabilities_are_those_of_the_paper(better: float, worse: float, threshold: float) -> None:
    a, b, theta = math.exp(better), math.exp(worse), math.exp(threshold)
    tie = (theta**2 - 1) * a * b / ((a + theta * b) * (theta * a + b))
    found = rao_kupper(*exact(better - worse, threshold)).exp().tolist()
    assert found == pytest.approx([a / (a + theta * b), tie, b / (theta * a + b)], abs=1e-6)


@pytest.mark.parametrize("likelihood", [davidson, rao_kupper])
@given(difference=scores, parameter=parameters)
def test_the_three_outcomes_sum_to_one_and_turn_round_with_the_pair(likelihood, difference: float, parameter: float):
    found, turned = (likelihood(*exact(d, parameter)).exp() for d in (difference, -difference))
    assert found.sum().item() == pytest.approx(1, abs=1e-6)
    assert found.flip(-1).tolist() == pytest.approx(turned.tolist(), abs=1e-9)


@given(difference=scores)
def test_without_ties_both_are_bradley_terry(difference: float) -> None:
    plain = bradley_terry(*exact(difference)).tolist()
    for likelihood, none in ((davidson, -60.0), (rao_kupper, 1e-12)):
        chosen, tie, rejected = likelihood(*exact(difference, none)).tolist()
        assert [chosen, rejected] == pytest.approx(plain, abs=1e-6)
        assert tie < -20


@pytest.mark.parametrize("likelihood", [davidson, rao_kupper])
def test_with_ever_more_ties_everything_is_one(likelihood) -> None:
    assert likelihood(*exact(1.0, 40.0)).exp().tolist() == pytest.approx([0, 1, 0], abs=1e-6)


@given(share=shares)
def test_the_parameter_for_a_share_gives_equals_that_share_of_ties(share: float) -> None:
    assert davidson(*exact(0.0, log_nu_for(share))).exp()[1].item() == pytest.approx(share, abs=1e-6)
    assert rao_kupper(*exact(0.0, threshold_for(share))).exp()[1].item() == pytest.approx(share, abs=1e-6)


@given(share=shares, mean=st.floats(-2, 2))
def test_the_likelihood_is_highest_where_the_data_are(share: float, mean: float) -> None:
    """Of the difference given the parameter: the gradient is zero at the outcomes' own probabilities."""
    for likelihood, parameter in ((davidson, log_nu_for(share)), (rao_kupper, threshold_for(share))):
        difference, own = exact(mean, parameter)
        difference.requires_grad_(True)
        outcomes = likelihood(difference, own)
        cross_entropy(outcomes, outcomes.detach().exp()).backward()
        assert difference.grad.item() == pytest.approx(0, abs=1e-6)


def test_far_apart_nothing_overflows() -> None:
    for likelihood in (davidson, rao_kupper):
        difference = torch.tensor([300.0, -300.0], requires_grad=True)
        found = likelihood(difference, torch.tensor(0.5))
        assert found.isfinite().all()
        found.sum().backward()
        assert difference.grad.isfinite().all()


def test_label_smoothing_turns_a_share_of_the_labels_and_leaves_ties_alone() -> None:
    found = smoothed_shares(torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.25, 0.5, 0.25]]), 0.1)
    assert torch.allclose(found, torch.tensor([[0.9, 0.0, 0.1], [0.0, 1.0, 0.0], [0.25, 0.5, 0.25]]))


def test_centring_is_the_square_of_the_sum() -> None:
    assert centring(torch.tensor([2.0, -1.0]), torch.tensor([1.0, 1.0])).tolist() == [9.0, 0.0]
