"""What PPO learns on tasks whose answer is known, and what its curves show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from tests.training.ml.playground import average, even_tokens, one_arm, play, questions, sharp_model, steps
from training.ml.ppo_loop import PPO
from training.ml.progress import Progress
from training.ml.rollout import Rollout
from training.recipes.ppo import PPOConfig

pytestmark = pytest.mark.usefixtures("single_thread")

# No penalty for a missing EOS: the fixture hardly ever ends, and the task is another one.
SETTINGS: dict[str, Any] = {
    "rollouts": 64,
    "batch_size": 64,
    "gradient_accumulation": 1,
    "learning_rate": 0.003,
    "rank": 8,
    "missing_eos_penalty": 0.0,
    "schedule": "constant",
    "kl_control": "fixed",
    "kl_coefficient": 0.0,
    "checkpoint_every": 0,
    "early_stop_kl": 0.1,  # at these rates a careful run would end most of its steps early
}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sharp_model(tmp_path_factory.mktemp("sharp") / "model")


def curve(model: Path, directory: Path, rewarding: Any, **settings: Any) -> list[dict[str, float]]:
    play(model, directory, rewarding, **{**SETTINGS, **settings})
    return steps(directory)


def test_a_bandit_is_solved(model: Path, tmp_path: Path) -> None:
    """64 pulls a step, 14 steps; by chance a tenth of the pulls is paid."""
    found = curve(model, tmp_path, one_arm, max_new_tokens=1, epochs=8 * 14)
    assert found[0]["score"] < 0.25
    assert average(found[-3:], "score") > 0.9


def test_a_planted_token_is_found_and_the_entropy_falls(model: Path, tmp_path: Path) -> None:
    found = curve(model, tmp_path, even_tokens, max_new_tokens=4, epochs=8 * 14)
    assert found[0]["score"] < 0.6
    assert average(found[-3:], "score") > 0.9
    assert average(found[-3:], "entropy") < found[0]["entropy"]


def test_all_weights_can_be_trained_against_a_frozen_copy(model: Path, tmp_path: Path) -> None:
    settings = {"adapter": "full", "learning_rate": 0.0005, "kl_coefficient": 0.02}
    found = curve(model, tmp_path, even_tokens, max_new_tokens=4, epochs=8 * 10, **settings)
    assert found[0]["kl"] == pytest.approx(0, abs=1e-4)
    assert average(found[-3:], "score") > found[0]["score"] + 0.25
    assert average(found[-3:], "kl") > 0.5


@pytest.mark.slow
@pytest.mark.long
def test_an_adaptive_coefficient_keeps_the_kl_near_its_target(model: Path, tmp_path: Path) -> None:
    settings = {"kl_control": "adaptive", "kl_coefficient": 0.4, "kl_target": 1.5, "max_new_tokens": 4}
    found = curve(model, tmp_path, even_tokens, epochs=8 * 36, **settings)
    settled = average(found[12:], "kl")
    assert 0.7 * 1.5 < settled < 1.3 * 1.5
    assert average(found[12:], "score") > found[0]["score"] + 0.1
    assert len({step["kl_coefficient"] for step in found}) > 20


@pytest.mark.slow
@pytest.mark.long
def test_a_larger_coefficient_keeps_the_kl_smaller(model: Path, tmp_path: Path) -> None:
    kls = []
    for coefficient in (0.02, 0.6, 3.0):
        settings = {"kl_coefficient": coefficient, "max_new_tokens": 4}
        found = curve(model, tmp_path / str(coefficient), even_tokens, epochs=8 * 14, **settings)
        kls.append(average(found[-5:], "kl"))
    assert kls[0] > 1.3 * kls[1] > 1.3 * 1.3 * kls[2], kls
    assert kls[2] > 0


@pytest.mark.slow
@pytest.mark.long
def test_a_reward_with_a_loophole_shows_in_length_and_eos_rate(model: Path, tmp_path: Path) -> None:
    """First shortness is paid, whatever is said: responses shrink to an EOS. Then length is: they fill the room."""

    def short(rollouts: Sequence[Rollout]) -> list[float]:
        return [-len(rollout.ids) / 8 for rollout in rollouts]

    settings = {**SETTINGS, "max_new_tokens": 8, "rollouts": 128}
    actors = play(model, tmp_path / "short", short, epochs=16 * 16, **settings)
    shrinking = steps(tmp_path / "short")
    assert shrinking[0]["length"] > 7
    assert shrinking[0]["eos_rate"] < 0.1
    assert average(shrinking[-3:], "length") < 3
    assert average(shrinking[-3:], "eos_rate") > 0.9

    (tmp_path / "long").mkdir()
    config = PPOConfig(**settings, epochs=16 * 12)
    tokenizer = AutoTokenizer.from_pretrained(model)
    actors = replace(actors, rewarding=lambda rollouts: [-score for score in short(rollouts)])
    asked, where = questions(tokenizer, 8), {"directory": tmp_path / "long", "progress": Progress(tmp_path / "long")}
    PPO(actors, tokenizer, asked, config, seed=1, **where).train()
    growing = steps(tmp_path / "long")
    assert average(growing[:1], "length") < 3
    assert average(growing[-3:], "length") > 6
    assert average(growing[-3:], "eos_rate") < 0.5


@pytest.mark.slow
def test_a_penalty_for_not_ending_teaches_to_end(model: Path, tmp_path: Path) -> None:
    settings = {"missing_eos_penalty": 2.0, "max_new_tokens": 8, "rollouts": 128}
    found = curve(model, tmp_path, lambda rollouts: [0.5] * len(rollouts), epochs=16 * 16, **settings)
    assert found[0]["eos_rate"] < 0.1
    assert average(found[-8:], "eos_rate") > 0.9  # of eight, since nothing holds the policy where it has got to
    first, last = found[0], found[-1]
    assert first["reward"] == pytest.approx(0.5 - 2 * (1 - first["eos_rate"]))
    assert last["reward"] == pytest.approx(0.5 - 2 * (1 - last["eos_rate"]))


def test_a_step_ends_early_once_the_policy_has_moved_too_far(model: Path, tmp_path: Path) -> None:
    settings = {"max_new_tokens": 4, "epochs": 8 * 4, "batch_size": 16}
    free = curve(model, tmp_path / "free", even_tokens, early_stop_kl=0.0, **settings)
    held = curve(model, tmp_path / "held", even_tokens, early_stop_kl=0.02, **settings)
    assert [step["updates"] for step in free] == [16] * 4
    assert max(step["updates"] for step in held) < 16
    stopped = [step["approx_kl"] for step in held if step["updates"] < 16]
    assert min(stopped) > 0.02


def test_the_first_update_of_a_step_starts_at_ratio_one(model: Path, tmp_path: Path) -> None:
    """One pass with one update a step: what it measures is the policy before it has moved."""
    found = curve(model, tmp_path, even_tokens, max_new_tokens=4, epochs=8 * 3, ppo_epochs=1)
    for step in found:
        assert step["updates"] == 1
        assert step["ratio"] == pytest.approx(1, abs=1e-4)
        assert step["approx_kl"] == pytest.approx(0, abs=1e-5)
        assert step["clip_fraction"] == 0
        assert step["policy_loss"] == pytest.approx(0, abs=1e-3)  # whitened advantages have mean 0
