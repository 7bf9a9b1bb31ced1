"""The value model of PPO learns at a rate of its own; runs from before it had one go on as they were begun."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from tests.training.ml.playground import average, cast, even_tokens, play, questions, sharp_model, steps
from training.ml.job import read_job
from training.ml.loop import fingerprint
from training.ml.ppo_loop import PPO
from training.ml.progress import Progress
from training.recipes import RecipeError, load, load_kept
from training.recipes.ppo import PPOConfig

pytestmark = pytest.mark.usefixtures("single_thread")

SETTINGS: dict[str, Any] = {
    "rollouts": 32,
    "batch_size": 32,
    "gradient_accumulation": 1,
    "rank": 8,
    "max_new_tokens": 6,
    "missing_eos_penalty": 0.0,
    "schedule": "constant",
    "kl_control": "fixed",
    "kl_coefficient": 0.02,
    "checkpoint_every": 0,
}
# All that runs stored before the value model had a rate, and the names that their checkpoints got then.
OLDER: dict[str, Any] = json.loads((Path(__file__).parent / "older_settings.json").read_text(encoding="utf-8"))
OLD: dict[str, Any] = OLDER["ppo"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sharp_model(tmp_path_factory.mktemp("sharp") / "model")


def game(model: Path, directory: Path, config: PPOConfig) -> PPO:
    directory.mkdir(parents=True, exist_ok=True)
    tokenizer = AutoTokenizer.from_pretrained(model)
    where = {"seed": 0, "directory": directory, "progress": Progress(directory)}
    return PPO(cast(model, config, even_tokens), tokenizer, questions(tokenizer, 8), config, **where)


def rates(ppo: PPO) -> tuple[set[float], set[float]]:
    """Those of the policy's weights and of the value's, as the optimizer has them."""
    values = {id(weight) for weight in ppo.actors.value.weights()}
    by_weight = [
        (id(weight) in values, group["lr"]) for group in ppo.optimizer.param_groups for weight in group["params"]
    ]
    return {rate for of_value, rate in by_weight if not of_value}, {rate for of_value, rate in by_weight if of_value}


@pytest.mark.parametrize("adapter", ["lora", "full", "prompt_tuning"])
def test_policy_and_value_follow_one_schedule_at_rates_of_their_own(adapter: str, model: Path, tmp_path: Path) -> None:
    both = {"learning_rate": 1e-5, "value_learning_rate": 1e-3, "schedule": "linear", "warmup_ratio": 0.0}
    ppo = game(model, tmp_path, PPOConfig(**{**SETTINGS, **both, "adapter": adapter, "epochs": 8, "ppo_epochs": 1}))
    ppo.train()
    assert ppo.steps == 2
    policy, value = rates(ppo)
    assert list(policy) == pytest.approx([0.5e-5])
    assert list(value) == pytest.approx([0.5e-3])


@pytest.mark.slow
def test_beside_a_policy_whose_weights_all_learn_slowly_the_value_still_learns(model: Path, tmp_path: Path) -> None:
    """At the policy's rate it explains next to nothing after as many steps."""
    found = {}
    for rate in (1e-5, load("ppo", {}).value_learning_rate):
        more = {"adapter": "full", "learning_rate": 1e-5, "value_learning_rate": rate, "epochs": 60}
        play(model, tmp_path / str(rate), even_tokens, **SETTINGS, **more)
        found[rate] = average(steps(tmp_path / str(rate))[-5:], "explained_variance")
    slow, own = found.values()
    assert slow < 0.1 < own


def test_an_old_run_is_loaded_with_what_it_had_and_nobody_starts_one_like_it(tmp_path: Path) -> None:
    kept = load_kept("ppo", OLD["config"])
    assert (kept.value_coefficient, kept.value_learning_rate) == (0.5, None)
    assert fingerprint([], kept, 0) == OLD["fingerprint"]
    assert fingerprint([], load("ppo", {}), 0) != OLD["fingerprint"]
    with pytest.raises(RecipeError) as caught:
        load("ppo", OLD["config"])
    assert caught.value.field == "value_coefficient"
    job = {"format": 1, "run": 1, "recipe": "ppo", "seed": 0, "config": OLD["config"], "model": {"base": "m"}}
    (tmp_path / "job.json").write_text(json.dumps({**job, "cache": str(tmp_path)}), encoding="utf-8")
    assert read_job(tmp_path).config == kept


@pytest.mark.parametrize("recipe", sorted(OLDER))
def test_checkpoints_from_before_a_setting_are_those_of_what_was_done_then(recipe: str) -> None:
    kept = load_kept(recipe, OLDER[recipe]["config"])
    assert fingerprint([], kept, 0) == OLDER[recipe]["fingerprint"]
    new = {"grpo": {"loss_type": "grpo"}, "rloo": {"clip_range_high": 0.28}, "ppo": {"early_stop_kl": 0.5}}[recipe]
    assert fingerprint([], load_kept(recipe, OLDER[recipe]["config"] | new), 0) != OLDER[recipe]["fingerprint"]


def test_an_old_run_goes_on_from_its_checkpoint_at_the_policys_rate(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = {"value_coefficient": 0.25, "epochs": 12, "learning_rate": 1e-3, "checkpoint_every": 1}
    config = load_kept("ppo", {**SETTINGS, **changed})
    whole = game(model, tmp_path / "whole", config)
    whole.train()
    tell = PPO.tell

    def dying(self: PPO, number: int, *more: Any) -> None:
        tell(self, number, *more)
        if number == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(PPO, "tell", dying)
        game(model, tmp_path / "cut", config).train()
    game(model, tmp_path / "cut", config).train()
    assert len(steps(tmp_path / "cut")) == len(steps(tmp_path / "whole")) == 3
    assert steps(tmp_path / "cut")[-1] == pytest.approx(steps(tmp_path / "whole")[-1], abs=1e-5)
    # As checkpoints were written then: one group of matrices and one of vectors, in the order of the weights.
    assert [{weight.dim() for weight in group["params"]} for group in whole.optimizer.param_groups] == [{2}, {1}]
    assert rates(whole) == ({1e-3}, {1e-3})
    last = steps(tmp_path / "whole")[-1]
    assert last["loss"] == pytest.approx(last["policy_loss"] + 0.25 * last["value_loss"])
