"""What PPO refuses before it begins, or ends with the reason."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoTokenizer

from tests.training.ml.jobs import job_of, write_job
from tests.training.planted import write_planted
from training.ml import launch, ppo, run
from training.ml.device import thread_count
from training.ml.errors import ModelError
from training.ml.job import Job
from training.ml.rewarding import RewardModel
from training.recipes.ppo import PPOConfig


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return write_planted(tmp_path_factory.mktemp("data"), train=12, test=6)


def refusal(job: Job) -> ModelError:
    with pytest.raises(ModelError) as caught:
        ppo.run(job)
    return caught.value


def test_a_run_without_a_reward_model_is_refused(fixture_model: Path, data: dict[str, str], tmp_path: Path) -> None:
    assert refusal(job_of(tmp_path / "run", "ppo", fixture_model, data)).code == "no_reward_model"


def test_several_processes_are_refused(
    fixture_model: Path, judge: dict[str, Any], data: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    job = job_of(tmp_path / "run", "ppo", fixture_model, data, reward_model=judge)
    assert refusal(job).code == "one_process_only"


@pytest.mark.parametrize("recipe", ["ppo", "rloo", "grpo"])
def test_the_launcher_refuses_several_processes_with_the_reason(
    recipe: str, fixture_model: Path, data: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Started by hand: the supervisor knows which recipes can be shared."""
    started = []
    monkeypatch.setattr(launch, "start", lambda *arguments: started.append(arguments) or run.DONE)
    directory = write_job(tmp_path / "run", recipe, fixture_model, data)
    assert launch.main([str(directory), "2"]) == run.FAILED and not started
    assert json.loads((directory / "error.json").read_text())["code"] == "one_process_only"
    assert launch.main([str(directory), "1"]) == run.DONE and len(started) == 1


def test_a_system_that_binds_no_process_to_cores_has_them_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """As macOS."""
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert thread_count() == 3
    assert launch.command(tmp := Path("job"), "ddp", 2)[-4:] == ["1", "-m", "training.ml.run", str(tmp)]


def test_a_policy_is_no_reward_model(fixture_model: Path, data: dict[str, str], tmp_path: Path) -> None:
    other = {"base": str(fixture_model), "adapters": []}
    assert refusal(job_of(tmp_path / "run", "ppo", fixture_model, data, reward_model=other)).code == "not_reward_model"


def test_prompts_that_leave_no_room_are_refused_before_the_run(
    fixture_model: Path, judge: dict[str, Any], data: dict[str, str], tmp_path: Path
) -> None:
    job = job_of(tmp_path / "run", "ppo", fixture_model, data, reward_model=judge, max_new_tokens=500)
    error = refusal(job)
    assert error.code == "empty_data"
    assert "at most 512 together" in error.message


def test_a_reward_model_without_a_chat_template_is_refused(foreign_judge: dict[str, Any], fixture_model: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(foreign_judge["base"])
    tokenizer.chat_template = None
    with pytest.raises(ModelError) as caught:
        RewardModel(torch.nn.Identity(), tokenizer, PPOConfig(), 4)
    assert caught.value.code == "no_chat_template"


def test_a_score_that_is_no_number_ends_the_run_with_the_reason(
    fixture_model: Path, judge: dict[str, Any], data: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nothing = torch.full((8, 1), float("nan"))
    monkeypatch.setattr(RewardModel, "member_scores", lambda self, texts: nothing[: len(texts)])
    error = refusal(
        job_of(
            tmp_path / "run", "ppo", fixture_model, data, reward_model=judge, rollouts=8, batch_size=4, max_new_tokens=8
        )
    )
    assert error.code == "nan_loss"
    assert "no finite score" in error.message
    assert not (tmp_path / "run" / "artifact").exists()
