"""Generalised advantage estimation by hand and by its definition, and whitening."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from training.ml.advantages import gae, whitened


def tensor(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def test_three_tokens_by_hand() -> None:
    """d = (-0.1 + 0.9*0.6 - 0.5, 0.2 + 0.9*-0.3 - 0.6, 1.0 - -0.3) = (-0.06, -0.67, 1.3); g*l = 0.72."""
    found = gae(tensor(-0.1, 0.2, 1.0), tensor(0.5, 0.6, -0.3), 0.9, 0.8)
    assert found.tolist() == pytest.approx([0.13152, 0.266, 1.3], abs=1e-9)


def test_with_lambda_one_it_is_the_return_less_the_value() -> None:
    found = gae(tensor(1.0, 2.0, 3.0), tensor(0.5, 0.25, -1.0), 1.0, 1.0)
    assert found.tolist() == pytest.approx([5.5, 4.75, 4.0])


def test_with_lambda_zero_it_is_the_error_of_one_step() -> None:
    found = gae(tensor(1.0, 2.0, 3.0), tensor(0.5, 0.25, -1.0), 0.5, 0.0)
    assert found.tolist() == pytest.approx([0.625, 1.25, 4.0])


def test_a_single_token_gets_its_reward_less_its_value() -> None:
    assert gae(tensor(0.75), tensor(0.5), 0.9, 0.8).tolist() == [0.25]


def by_definition(rewards: list[float], values: list[float], discount: float, lambda_: float) -> list[float]:
    """The exponentially weighted average of the k-step advantages, each a sum of its own: Schulman et al. 2016,
    eq. 11 to 16, for an episode that ends. Beyond the end every further k-step advantage is the last one."""
    n, found = len(rewards), []
    for t in range(n):
        steps = []
        for k in range(1, n - t + 1):
            ahead = discount**k * values[t + k] if t + k < n else 0.0
            steps.append(sum(discount**i * rewards[t + i] for i in range(k)) + ahead - values[t])
        weighted = sum((1 - lambda_) * lambda_ ** (k - 1) * steps[k - 1] for k in range(1, n - t))
        found.append(weighted + lambda_ ** (n - t - 1) * steps[-1])
    return found


numbers = st.floats(-5, 5, allow_nan=False)
shares = st.floats(0, 1, allow_nan=False)


@given(st.lists(st.tuples(numbers, numbers), min_size=1, max_size=12), shares, shares)
def test_it_is_the_average_of_all_k_step_advantages(
    tokens: list[tuple[float, float]], discount: float, lambda_: float
) -> None:
    rewards, values = map(list, zip(*tokens, strict=True))
    found = gae(tensor(*rewards), tensor(*values), discount, lambda_)
    assert found.tolist() == pytest.approx(by_definition(rewards, values, discount, lambda_), abs=1e-6)


def test_whitening_has_mean_zero_and_variance_one_over_all_tokens() -> None:
    rows = [torch.tensor([1.0, 2.0]), torch.tensor([3.0, 6.0, 8.0])]
    found = whitened(rows)
    # mean 4, variance (9 + 4 + 1 + 4 + 16) / 5 = 6.8, deviation 2.6076810
    expected = [-1.1504475, -0.7669650, -0.3834825, 0.7669650, 1.5339300]
    assert [len(row) for row in found] == [2, 3]
    assert torch.cat(found).tolist() == pytest.approx(expected, abs=1e-6)


def test_whitening_of_equal_advantages_is_zero() -> None:
    assert whitened([torch.tensor([0.5, 0.5])])[0].tolist() == [0.0, 0.0]
