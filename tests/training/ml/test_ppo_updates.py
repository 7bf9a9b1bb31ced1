"""How PPO parts the responses of a step into updates."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from training.ml.ppo_loop import PPO
from training.recipes.ppo import PPOConfig


def sizes(rollouts: int, **config: int) -> list[int]:
    ppo = object.__new__(PPO)
    ppo.config, ppo.seed = PPOConfig(rollouts=rollouts, ppo_epochs=2, **config), 0
    rows = [SimpleNamespace(length=number) for number in range(rollouts)]
    updates = ppo.updates(1, rows)
    half = len(updates) // 2
    for one_pass in (updates[:half], updates[half:]):
        seen = [row.length for batches in one_pass for batch in batches for row in batch]
        assert sorted(seen) == list(range(rollouts)), "every response once a pass"
    assert all(len(batch) <= ppo.config.batch_size for batches in updates for batch in batches)
    return [sum(map(len, batches)) for batches in updates[:half]]


@pytest.mark.parametrize(
    ("rollouts", "expected"), [(7, [3, 4]), (12, [6, 6]), (13, [4, 4, 5]), (5, [5]), (20, [5, 5, 5, 5])]
)
def test_updates_of_a_pass_are_alike_in_size(rollouts: int, expected: list[int]) -> None:
    """A rest of one response would steer the policy at the full rate."""
    assert sizes(rollouts, batch_size=3, gradient_accumulation=2) == expected
