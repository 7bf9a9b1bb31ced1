"""The recipes "rloo" and "grpo": TRL's losses on our responses, the same scores as everywhere, what they learn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import trl
from datasets import Dataset
from torch import nn
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.training.ml.jobs import job_of, manifest
from tests.training.ml.playground import (
    average,
    even_tokens,
    fixture_policy,
    play,
    play_groups,
    questions,
    sharp_model,
    steps,
)
from tests.training.planted import write_planted
from training.ml import group_rollouts, grpo, rloo
from training.ml.device import choose_device
from training.ml.errors import ModelError
from training.ml.group_rollouts import OurRollouts, Parts
from training.ml.load import load_reward_model, load_tokenizer
from training.ml.progress import read_lines
from training.ml.scoring import score
from training.recipes import RecipeError, load
from training.recipes.rloo import RLOOConfig

pytestmark = pytest.mark.usefixtures("single_thread")

QUICK = {"batch_size": 4, "gradient_accumulation": 2, "max_new_tokens": 6, "learning_rate": 0.003, "generations": 4}
MODULES = {"rloo": rloo, "grpo": grpo}
both = pytest.mark.parametrize("recipe", ["rloo", "grpo"])


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sharp_model(tmp_path_factory.mktemp("sharp") / "model")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return write_planted(tmp_path_factory.mktemp("data"), train=12, test=6)


OTHERWISE: dict[str, dict[str, Any]] = {
    "rloo": {"normalize_advantages": True},
    "grpo": {"loss_type": "dr_grpo", "scale_rewards": "none"},
}


@both
@pytest.mark.parametrize(("updates", "chosen"), [(1, {}), (2, {}), (2, {"clip_range": 0.02, "clip_range_high": 0.03})])
def test_the_losses_are_those_of_trl(
    recipe: str, updates: int, chosen: dict[str, Any], model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Five steps of full fine-tuning; TRL's trainer tokenises, loads its own reference and computes its own
    log-probabilities, and gets our responses in place of its own."""
    drawn: list[list[list[int]]] = []
    monkeypatch.setattr(OurRollouts, "draw", _recorded(OurRollouts.draw, drawn))
    settings = {"batch_size": 8, "gradient_accumulation": 2, "max_new_tokens": 5, "generations": 4, "updates": updates}
    settings |= {"learning_rate": 0.001, "adapter": "full", "kl_coefficient": 0.1, "missing_eos_penalty": 0.0}
    # Warm enough that the rewards of the first step differ: of equal ones AdamW would make steps out of rounding.
    settings |= {"warmup_ratio": 0.0, "temperature": 1.1, "epochs": 3}
    settings |= {**chosen, **(OTHERWISE[recipe] if chosen else {})}
    play_groups(model, tmp_path / "ours", even_tokens, recipe, **settings)
    ours = steps(tmp_path / "ours")
    theirs = trl_run(recipe, model, tmp_path / "theirs", drawn, settings, len(ours))
    assert len(ours) == len(theirs) == 6 * updates
    for mine, other in zip(ours, theirs, strict=True):
        assert mine["loss"] == pytest.approx(other["loss"], abs=1e-4)
        # Where all responses of a group have one reward, nothing is left but the rounding of sums.
        assert mine["grad_norm"] == pytest.approx(other["grad_norm"], rel=1e-3, abs=1e-5)
        assert mine["entropy"] == pytest.approx(other["entropy"], abs=1e-4)
        if "reward" in other:
            assert mine["reward"] == pytest.approx(other["reward"], abs=1e-5)
            assert mine["kl"] == pytest.approx(other["kl"] * mine["length"], abs=1e-3)
    assert max(step["grad_norm"] for step in theirs) > 0.1
    assert ours[-1]["kl"] > 0.02


def _recorded(draw: Any, drawn: list[list[list[int]]]) -> Any:
    def recording(self: OurRollouts) -> list[list[int]]:
        found = draw(self)
        drawn.append(found)
        return found

    return recording


def trl_run(
    recipe: str, model: Path, directory: Path, drawn: list[list[list[int]]], settings: dict[str, Any], number: int
) -> list[dict[str, float]]:
    kind, config = {"rloo": (trl.RLOOTrainer, trl.RLOOConfig), "grpo": (trl.GRPOTrainer, trl.GRPOConfig)}[recipe]
    given = iter(drawn)

    class Fed(kind):
        def _generate_single_turn(self, *_: Any) -> Any:
            ids = next(given)
            torch.manual_seed(len(ids))
            return ids if recipe == "rloo" else (ids, None)

    def reward(completion_ids: list[list[int]], **_: Any) -> list[float]:
        return [sum(token % 2 == 0 for token in ids) / len(ids) for ids in completion_ids]

    tokenizer = AutoTokenizer.from_pretrained(model)
    trainer = Fed(
        model=AutoModelForCausalLM.from_pretrained(model),
        reward_funcs=reward,
        args=config(
            output_dir=str(directory),
            **{"use_cpu": True, "bf16": False, "gradient_checkpointing": False, "report_to": []},
            **{"save_strategy": "no", "disable_tqdm": True, "logging_steps": 1, "shuffle_dataset": False},
            max_steps=number,
            per_device_train_batch_size=settings["batch_size"],
            gradient_accumulation_steps=settings["gradient_accumulation"],
            learning_rate=settings["learning_rate"],
            num_generations=settings["generations"],
            num_iterations=settings["updates"],
            max_completion_length=settings["max_new_tokens"],
            temperature=settings["temperature"],
            beta=settings["kl_coefficient"],
            epsilon=settings.get("clip_range", 0.2),
            epsilon_high=settings.get("clip_range_high"),
            **{name: settings[name] for name in OTHERWISE[recipe] if name in settings},
        ),
        train_dataset=Dataset.from_list([{"prompt": q.messages} for q in _in_our_order(tokenizer, settings)]),
        processing_class=tokenizer,
    )
    trainer.train()
    return [line for line in trainer.state.log_history if "loss" in line]


def _in_our_order(tokenizer: Any, settings: dict[str, Any]) -> list[Any]:
    known = {
        name: settings[name] for name in ("batch_size", "gradient_accumulation", "generations", "updates", "epochs")
    }
    nothing: Any = None
    parts = Parts(
        "rloo", nothing, nothing, nothing, tokenizer, questions(tokenizer, 8), RLOOConfig(**known), 0, Path(), nothing
    )
    return parts.asked(0)


def exact(policy: nn.Module, base: Path) -> tuple[float, float]:
    """The chance of an even first token and the KL against the start, over the whole vocabulary: no sampling."""
    start, asked = fixture_policy(base), questions(AutoTokenizer.from_pretrained(base), 8)
    with torch.no_grad():
        p, q = (
            torch.stack([torch.softmax(m(torch.tensor([a.ids])).logits[0, -1].double(), 0) for a in asked])
            for m in (policy.eval(), start)
        )
    return p[:, ::2].sum(1).mean().item(), (p * (p / q).log()).sum(1).mean().item()


@pytest.mark.slow
@pytest.mark.long
def test_rloo_and_ppo_end_at_the_same_policy(model: Path, tmp_path: Path) -> None:
    """Both maximise E[reward] - 0.3 KL, one with a value model, clip and several passes, the other without any."""
    settings = {"max_new_tokens": 1, "missing_eos_penalty": 0.0, "kl_coefficient": 0.3, "batch_size": 64, "rank": 8}
    settings |= {"gradient_accumulation": 1, "checkpoint_every": 0}
    fixed = {"kl_control": "fixed", "reward_scaling": "none", "rollouts": 64, "learning_rate": 0.003}
    fixed |= {"early_stop_kl": 0.1}
    actors = play(model, tmp_path / "ppo", even_tokens, epochs=8 * 40, **settings, **fixed)
    several = {"generations": 8, "learning_rate": 0.004}
    policy = play_groups(model, tmp_path / "rloo", even_tokens, "rloo", epochs=10 * 16, **settings, **several)
    before, _ = exact(fixture_policy(model), model)
    (ppo_reward, ppo_kl), (rloo_reward, rloo_kl) = exact(actors.policy, model), exact(policy, model)
    assert before < 0.15
    assert min(ppo_reward, rloo_reward) > 0.4
    assert ppo_reward == pytest.approx(rloo_reward, abs=0.06)
    assert ppo_kl == pytest.approx(rloo_kl, abs=0.15)


@both
def test_a_planted_token_is_found(recipe: str, model: Path, tmp_path: Path) -> None:
    settings = {"max_new_tokens": 4, "missing_eos_penalty": 0.0, "kl_coefficient": 0.001, "batch_size": 64, "rank": 8}
    settings |= {"gradient_accumulation": 1, "generations": 8, "learning_rate": 0.01, "checkpoint_every": 0}
    play_groups(model, tmp_path, even_tokens, recipe, epochs=50, **settings)
    found = steps(tmp_path)
    assert len(found) == 50
    assert found[0]["score"] < 0.6
    assert average(found[-5:], "score") > 0.9


@pytest.mark.slow
@pytest.mark.long
@both
def test_a_larger_coefficient_keeps_the_kl_smaller(recipe: str, model: Path, tmp_path: Path) -> None:
    settings = {"max_new_tokens": 4, "missing_eos_penalty": 0.0, "batch_size": 64, "rank": 8, "generations": 8}
    settings |= {"gradient_accumulation": 1, "learning_rate": 0.006, "checkpoint_every": 0}
    kls = []
    for coefficient in (0.01, 1.0):
        where = tmp_path / str(coefficient)
        play_groups(model, where, even_tokens, recipe, epochs=25, kl_coefficient=coefficient, **settings)
        kls.append(average(steps(where)[-5:], "kl"))
    assert kls[0] > 1.5 * kls[1] > 0


@both
def test_a_run_tells_its_curves_and_leaves_an_adapter(
    recipe: str, fixture_model: Path, judge: dict[str, Any], data: dict[str, str], tmp_path: Path
) -> None:
    job = job_of(tmp_path / "run", recipe, fixture_model, data, reward_model=judge, epochs=2, updates=2, **QUICK)
    MODULES[recipe].run(job)
    found, curve = manifest(job.directory), steps(job.directory)
    assert len(curve) == 24  # 12 prompts twice, two groups of four at a time, two updates each
    drawn = "reward reward_std groups_without_spread score kl kl_coefficient length eos_rate truncated"
    learned = "loss entropy grad_norm clip_fraction learning_rate"
    assert all(set(step) == {*drawn.split(), *learned.split()} for step in curve)
    assert [curve[0][name] for name in ("kl", "clip_fraction")] == pytest.approx([0, 0], abs=1e-4)
    assert curve[0]["score"] == curve[1]["score"] != curve[2]["score"]
    assert curve[0]["learning_rate"] < curve[2]["learning_rate"] > curve[-1]["learning_rate"] > 0
    assert (found["task"], found["kind"]) == ("policy", "adapter")
    assert found["metrics"]["reward_gain"]["n"] == found["metrics"]["win_rate"]["n"] == 6
    assert [path.name for path in (job.directory / "artifact").iterdir() if path.is_dir()] == []
    assert not (job.directory / "trl").exists()
    stages = [line["stage"] for line in read_lines(job.directory / "progress.jsonl") if line["kind"] == "status"]
    assert stages == ["loading", "training", "evaluating", "saving"]


def test_the_rewards_that_trl_gets_are_the_scores_of_every_page(
    fixture_model: Path, judge: dict[str, Any], data: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With EOS where the text ends, which TRL's own decoding and tokenising would lose."""
    seen: list[tuple[Any, str, float, bool]] = []
    whole = OurRollouts.reward

    def watched(self: OurRollouts, **given: Any) -> list[float]:
        found = whole(self, **given)
        rows = zip(self.rollouts, found, strict=True)
        seen.extend((r.prompt.messages, r.text, value, r.finished) for r, value in rows)
        return found

    monkeypatch.setattr(OurRollouts, "reward", watched)
    job = job_of(tmp_path / "run", "rloo", fixture_model, data, reward_model=judge, epochs=1, **QUICK)
    rloo.run(job)
    model = load_reward_model(job.reward_model, cache=job.cache, device=choose_device())
    tokenizer = load_tokenizer(job.reward_model, cache=job.cache)
    expected = score(model, tokenizer, [(messages, text) for messages, text, _, _ in seen], 8)
    assert len(seen) == 48
    less = [value - (not finished) for value, (_, _, _, finished) in zip(expected, seen, strict=True)]
    assert [value for _, _, value, _ in seen] == pytest.approx(less, abs=1e-5)


def test_a_step_that_would_cut_a_group_in_two_is_refused() -> None:
    with pytest.raises(RecipeError) as caught:
        load("rloo", {"batch_size": 3, "gradient_accumulation": 2, "generations": 4})
    assert caught.value.field == "generations"


@both
def test_a_loss_that_is_no_number_ends_the_run_and_keeps_the_last_checkpoint(
    recipe: str, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"max_new_tokens": 2, "batch_size": 8, "gradient_accumulation": 1, "checkpoint_every": 2}
    settings |= {"generations": 4}
    whole = group_rollouts.logps_and_entropy

    def broken(policy: nn.Module, rollouts: Any, temperature: float) -> Any:
        logps, entropy = whole(policy, rollouts, temperature)
        learned_from = torch.is_grad_enabled() and (tmp_path / "checkpoint").exists()
        return logps * float("nan") if learned_from else logps, entropy

    monkeypatch.setattr(group_rollouts, "logps_and_entropy", broken)
    with pytest.raises(ModelError) as caught:
        play_groups(model, tmp_path, even_tokens, recipe, epochs=4, **settings)
    assert caught.value.code == "nan_loss"
    assert '"step": 2' in (tmp_path / "checkpoint" / "position.json").read_text()
