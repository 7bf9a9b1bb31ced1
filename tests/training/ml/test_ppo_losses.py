"""The clip of PPO by hand, for policy and value, and the figures that are read beside it."""

from __future__ import annotations

import math

import pytest
import torch

from training.ml.experience import final_reward, scale_after
from training.ml.ppo_losses import clipped_policy, clipped_values, explained_variance, policy_losses, value_losses
from training.ml.reward_scale import RewardScale
from training.recipes.ppo import PPOConfig

# Ratios 1.5, 1.5, 0.5, 0.5, 1.1, 1 with advantages of either sign.
RATIOS = torch.tensor([1.5, 1.5, 0.5, 0.5, 1.1, 1.0])
ADVANTAGES = torch.tensor([2.0, -2.0, 2.0, -2.0, -3.0, 4.0])
# min(r A, clip(r) A): 1.2*2, 1.5*-2, 0.5*2, 0.8*-2, 1.1*-3, 4
LOSSES = [-2.4, 3.0, -1.0, 1.6, 3.3, -4.0]


def test_the_clipped_policy_loss_by_hand() -> None:
    old = torch.tensor([-1.0, -2.0, -3.0, -0.5, -4.0, -1.5])
    assert policy_losses(old + RATIOS.log(), old, ADVANTAGES, 0.2).tolist() == pytest.approx(LOSSES, abs=1e-6)


def test_where_the_clip_holds_back_there_is_no_gradient() -> None:
    old = torch.full((6,), -1.0)
    new = (old + RATIOS.log()).requires_grad_(True)
    policy_losses(new, old, ADVANTAGES, 0.2).sum().backward()
    held = clipped_policy(new.detach(), old, ADVANTAGES, 0.2)
    assert held.tolist() == [1, 0, 0, 1, 0, 0]
    # Elsewhere the gradient of -r A in log p is -r A itself.
    assert new.grad.tolist() == pytest.approx([0, 3.0, -1.0, 0, 3.3, -4.0], abs=1e-6)


def test_the_clipped_value_loss_by_hand() -> None:
    """Old values 1; the new ones 1.1 (inside), 1.5 and 0.5 (outside); the return is 2 or 0.

    (1.1-2)^2/2; max((1.5-2)^2, (1.2-2)^2)/2; max((0.5-2)^2, (0.8-2)^2)/2; max((1.5-0)^2, (1.2-0)^2)/2
    """
    new, returns = torch.tensor([1.1, 1.5, 0.5, 1.5]), torch.tensor([2.0, 2.0, 2.0, 0.0])
    found = value_losses(new, torch.ones(4), returns, 0.2)
    assert found.tolist() == pytest.approx([0.405, 0.32, 1.125, 1.125], abs=1e-6)
    assert clipped_values(new, torch.ones(4), 0.2).tolist() == [0, 1, 1, 1]


def test_explained_variance_is_one_for_a_perfect_and_zero_for_a_constant_value() -> None:
    returns = torch.tensor([1.0, 2.0, 3.0, 6.0])
    assert explained_variance(returns + 5, returns) == pytest.approx(1.0)
    assert explained_variance(torch.full((4,), 3.0), returns) == pytest.approx(0.0)
    # residuals 1, 0, 0, 1: variance 0.25; returns: mean 3, variance 3.5
    assert explained_variance(torch.tensor([0.0, 2.0, 3.0, 5.0]), returns) == pytest.approx(1 - 0.25 / 3.5)
    assert math.isnan(explained_variance(returns, torch.ones(4)))


def test_the_running_scale_is_that_of_all_scores_so_far() -> None:
    scores = [2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0]  # mean 5, deviation 2
    at_once = RewardScale().seen(scores)
    piecemeal = RewardScale().seen(scores[:3]).seen(scores[3:])
    for scale in (at_once, piecemeal):
        assert scale.scaled(9.0) == pytest.approx(2.0)
        assert scale.scaled(4.0) == pytest.approx(-0.5)
    assert RewardScale(**at_once.as_dict()) == at_once


def test_while_all_scores_are_the_same_the_scaled_one_is_zero() -> None:
    assert RewardScale().scaled(3.0) == 0.0
    assert RewardScale().seen([3.0, 3.0]).scaled(3.0) == 0.0


def test_the_scale_of_the_first_step_is_kept_once_its_scores_differ() -> None:
    first, running = PPOConfig(reward_scaling="first"), PPOConfig()
    alike = scale_after([2.0, 2.0], RewardScale(), first)
    assert alike.deviation == 0.0, "a scale that could tell nothing apart is not kept"
    kept = scale_after([1.0, 3.0], alike, first)
    assert (kept.mean, kept.deviation) == (2.0, pytest.approx(0.5**0.5))
    assert scale_after([50.0, 90.0], kept, first) == kept
    assert scale_after([50.0, 90.0], kept, running) == kept.seen([50.0, 90.0])
    assert final_reward(3.0, kept, first) == pytest.approx(2**0.5)
    assert final_reward(1000.0, kept, first) == first.reward_clip


def test_only_a_scaled_reward_is_clipped() -> None:
    """The clip is in deviations: of scores as they are, it would pay all good responses alike."""
    scale = RewardScale().seen([0.0, 1.0, 2.0])
    running, none = PPOConfig(reward_clip=2.0), PPOConfig(reward_scaling="none", reward_clip=2.0)
    assert final_reward(40.0, scale, running) == 2.0 and final_reward(-40.0, scale, running) == -2.0
    assert [final_reward(score, scale, none) for score in (4.0, 8.0, 30.0)] == [4.0, 8.0, 30.0]
