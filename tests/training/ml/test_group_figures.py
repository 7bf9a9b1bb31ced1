"""The figures that RLOO and GRPO tell of a step, against what is counted here by hand, response by response."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.training.ml.playground import even_tokens, fixture_policy, play_groups, sharp_model, steps
from training.ml.group_rollouts import OurRollouts
from training.ml.rollout import Rollout

pytestmark = pytest.mark.usefixtures("single_thread")

SETTINGS: dict[str, Any] = {
    "max_new_tokens": 8,
    "batch_size": 4,
    "gradient_accumulation": 2,
    "generations": 4,
    "learning_rate": 0.02,
    "warmup_ratio": 0.0,
    "rank": 8,
    "kl_coefficient": 0.01,
    "missing_eos_penalty": 0.0,
    "epochs": 1,
    "checkpoint_every": 0,
}
both = pytest.mark.parametrize("recipe", ["rloo", "grpo"])


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every fifth token ends a response: lengths differ."""
    path = sharp_model(tmp_path_factory.mktemp("sharp") / "model")
    file = path / "generation_config.json"
    ends = {"eos_token_id": [2, *range(3, 767, 5)]}
    file.write_text(json.dumps((json.loads(file.read_text()) if file.exists() else {}) | ends))
    return path


def divergence(policy: Any, start: Any, rollout: Rollout, estimator: str) -> float:
    """Of one response by itself, the whole sequence unpadded through both models."""
    whole = torch.tensor([rollout.prompt.ids + rollout.ids])
    with torch.no_grad():
        new, old = (
            torch.log_softmax(m(whole).logits[0, len(rollout.prompt.ids) - 1 : -1].double(), -1)[
                range(len(rollout.ids)), rollout.ids
            ]
            for m in (policy, start)
        )
    ratio = old - new
    return (ratio.exp() - 1 - ratio if estimator == "k3" else -ratio).sum().item()


@both
def test_the_kl_is_the_mean_over_responses_however_long_each_is(
    recipe: str, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With one update a batch the policy that learns is the one that drew."""
    start, draw = fixture_policy(model).eval(), OurRollouts.draw
    seen: list[tuple[float, list[int]]] = []

    def watched(self: OurRollouts) -> list[list[int]]:
        ids = draw(self)
        estimator = "k3" if recipe == "grpo" else "k1"
        found = [divergence(self.parts.policy, start, rollout, estimator) for rollout in self.rollouts]
        seen.append((sum(found) / len(found), [len(one) for one in ids]))
        return ids

    monkeypatch.setattr(OurRollouts, "draw", watched)
    play_groups(model, tmp_path, even_tokens, recipe, **SETTINGS)
    told = [step["kl"] for step in steps(tmp_path)]
    assert told == pytest.approx([kl for kl, _ in seen], rel=1e-3, abs=1e-4)
    assert max(told) > 0.1
    assert min(len(set(lengths)) for _, lengths in seen) >= 3


@both
def test_a_step_tells_how_rewards_spread_and_which_groups_teach_nothing(
    recipe: str, model: Path, tmp_path: Path
) -> None:
    """The first group of every step is paid alike, whatever it says."""
    paid: list[list[float]] = []

    def rewarding(rollouts: Sequence[Rollout]) -> list[float]:
        scores = [0.3] * 4 + [len(rollout.ids) + 0.01 * (rollout.ids[0] % 7) for rollout in rollouts[4:]]
        paid.append(scores)
        return scores

    play_groups(model, tmp_path, rewarding, recipe, **SETTINGS)
    for step, scores in zip(steps(tmp_path), paid, strict=True):
        groups = [scores[i : i + 4] for i in (0, 4)]
        assert step["groups_without_spread"] == sum(len(set(group)) == 1 for group in groups) / 2 >= 0.5
        mean = sum(scores) / 8
        assert step["reward_std"] == pytest.approx((sum((score - mean) ** 2 for score in scores) / 8) ** 0.5, rel=1e-5)
