"""PPO, RLOO and GRPO, cancelled or killed and started again, end as if nothing had happened."""

from __future__ import annotations

import json
import os
import random
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tests.training.ml import child
from tests.training.ml.jobs import manifest, write_job
from tests.training.ml.playground import steps
from tests.training.planted import write_planted
from training.ml import cancel, run
from training.ml.group_rollouts import OurRollouts
from training.ml.group_training import Telling
from training.ml.ppo_loop import PPO
from training.ml.progress import Progress, read_lines

SETTINGS = {"batch_size": 4, "max_new_tokens": 6, "learning_rate": 0.003, "checkpoint_every": 2, "epochs": 4}
GROUPS = {**SETTINGS, "generations": 4, "epochs": 2}
PPO_SETTINGS = {**SETTINGS, "rollouts": 8, "gradient_accumulation": 1}


def later(*values: Any) -> list[Any]:
    """The same again with other values, left to the long line."""
    return [pytest.param(value, marks=[pytest.mark.slow, pytest.mark.long]) for value in values]


class Died(BaseException):
    """What kill -9 looks like from within: nothing after it is done."""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return write_planted(tmp_path_factory.mktemp("data"), train=16, test=6)


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    # Sums of floating point numbers depend on how many threads share them.
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


Make = Callable[..., Path]


@pytest.fixture
def make(fixture_model: Path, judge: dict[str, Any], data: dict[str, str], tmp_path: Path) -> Make:
    def job(name: str, recipe: str = "ppo", seed: int = 0, **config: Any) -> Path:
        directory = write_job(tmp_path / name, recipe, fixture_model, data, reward_model=judge, **config)
        path = directory / "job.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "seed": seed}))
        return directory

    return job


@pytest.fixture
def die_at(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """The process ends right after it has told of this step, once."""

    def arm(number: int) -> None:
        tell = Progress.step

        def dying(self: Progress, stage: str, *, step: int, **more: Any) -> None:
            tell(self, stage, step=step, **more)
            if step == number:
                monkeypatch.setattr(Progress, "step", tell)
                raise Died

        monkeypatch.setattr(Progress, "step", dying)

    return arm


def assert_same(found: Path, expected: Path) -> None:
    ours, theirs = steps(found), steps(expected)
    assert len(ours) == len(theirs)
    for mine, other in zip(ours, theirs, strict=True):
        assert mine == pytest.approx(other, abs=1e-5, nan_ok=True)
    assert told(found) == told(expected)
    one, two = (load_file(next((path / "artifact").glob("*.safetensors"))) for path in (found, expected))
    assert one.keys() == two.keys()
    assert all(torch.allclose(one[name], two[name], atol=1e-6) for name in two)
    assert manifest(found)["metrics"] == manifest(expected)["metrics"]


def told(directory: Path) -> list[Any]:
    lines = read_lines(directory / "progress.jsonl")
    return [(line["step"], line["samples"]) for line in lines if line["kind"] == "samples"]


@pytest.mark.parametrize("seed", [0, *later(1, 2)])
def test_ppo_killed_at_a_random_step_resumes_to_the_same_end(
    seed: int, make: Make, die_at: Callable[[int], None]
) -> None:
    whole = make("whole", seed=seed, **PPO_SETTINGS)
    assert run.main([str(whole)]) == run.DONE
    assert len(steps(whole)) == 8
    cut = make("cut", seed=seed, **PPO_SETTINGS)
    die_at(random.Random(seed).randrange(3, 8))
    with pytest.raises(Died):
        run.main([str(cut)])
    assert (cut / "checkpoint" / "position.json").exists()
    assert run.main([str(cut)]) == run.DONE
    assert_same(cut, whole)


@pytest.mark.slow
def test_ppo_of_all_weights_killed_resumes_to_the_same_end(make: Make, die_at: Callable[[int], None]) -> None:
    settings = {**PPO_SETTINGS, "adapter": "full", "learning_rate": 0.0005}
    whole, cut = make("whole", **settings), make("cut", **settings)
    assert run.main([str(whole)]) == run.DONE
    die_at(5)
    with pytest.raises(Died):
        run.main([str(cut)])
    assert run.main([str(cut)]) == run.DONE
    assert_same(cut, whole)


@pytest.mark.parametrize("updates", [5, 8])
def test_ppo_cancelled_in_the_middle_of_a_step_goes_on_with_its_responses(
    updates: int, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGTERM during an update, of the first step and at the end of it: nothing that was drawn or learned is lost."""
    whole = make("whole", **PPO_SETTINGS)
    assert run.main([str(whole)]) == run.DONE
    cut = make("cut", **PPO_SETTINGS)
    learn, count = PPO.update, 0

    def interrupted(self: PPO, *arguments: Any) -> Any:
        nonlocal count
        count += 1
        if count == updates:
            os.kill(os.getpid(), signal.SIGTERM)
        return learn(self, *arguments)

    monkeypatch.setattr(PPO, "update", interrupted)
    assert run.main([str(cut)]) == run.CANCELLED
    state = json.loads((cut / "checkpoint" / "position.json").read_text())["state"]
    assert (count, state.get("updates")) == ((5, 5) if updates == 5 else (8, None))
    cancel.reset()
    assert run.main([str(cut)]) == run.DONE
    assert_same(cut, whole)


def test_ppo_cancelled_while_it_draws_goes_on_from_the_step_before(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = make("whole", **PPO_SETTINGS)
    assert run.main([str(whole)]) == run.DONE
    cut = make("cut", **PPO_SETTINGS)
    draw = PPO.gather

    def interrupted(self: PPO, number: int, standing: Any) -> Any:
        if number == 4 and not cancel.requested():
            os.kill(os.getpid(), signal.SIGTERM)
        return draw(self, number, standing)

    monkeypatch.setattr(PPO, "gather", interrupted)
    assert run.main([str(cut)]) == run.CANCELLED
    position = json.loads((cut / "checkpoint" / "position.json").read_text())
    assert position["step"] == 3  # steps 2 and 4 are the regular ones
    monkeypatch.setattr(PPO, "gather", draw)
    cancel.reset()
    assert run.main([str(cut)]) == run.DONE
    assert_same(cut, whole)


def test_a_checkpoint_of_other_settings_is_refused(make: Make, die_at: Callable[[int], None]) -> None:
    cut = make("cut", **PPO_SETTINGS)
    die_at(3)
    with pytest.raises(Died):
        run.main([str(cut)])
    make("cut", **{**PPO_SETTINGS, "kl_coefficient": 0.5})
    assert run.main([str(cut)]) == run.FAILED
    assert json.loads((cut / "error.json").read_text())["code"] == "foreign_checkpoint"


@pytest.mark.parametrize("recipe", ["ppo", "rloo"])
@pytest.mark.parametrize("name", ["base", "reward_model"])
def test_a_run_does_not_go_on_with_other_weights(
    recipe: str, name: str, make: Make, die_at: Callable[[int], None]
) -> None:
    """Of the model, or of the reward model: what it would learn from then is no end of what it has begun."""
    cut = make("cut", recipe, **(PPO_SETTINGS if recipe == "ppo" else GROUPS))
    die_at(3)
    with pytest.raises(Died):
        run.main([str(cut)])
    path = cut / "checkpoint" / "position.json"
    facts = json.loads(path.read_text())
    assert facts["base"] and facts["reward_model"]
    path.write_text(json.dumps(facts | {name: "another"}))
    assert run.main([str(cut)]) == run.FAILED
    error = json.loads((cut / "error.json").read_text())
    assert error["code"] == "foreign_checkpoint" and "other weights" in error["message"]


@pytest.mark.parametrize("recipe", ["rloo", "grpo"])
@pytest.mark.parametrize("seed", [0, *later(1, 2)])
def test_rloo_and_grpo_killed_at_a_random_step_resume_to_the_same_end(
    recipe: str, seed: int, make: Make, die_at: Callable[[int], None]
) -> None:
    """Two updates to a batch: a checkpoint stands only between batches."""
    settings = {**GROUPS, "gradient_accumulation": 2, "updates": 1 + seed % 2}
    whole = make("whole", recipe, seed=seed, **settings)
    assert run.main([str(whole)]) == run.DONE
    assert len(steps(whole)) == 16 * settings["updates"]
    cut = make("cut", recipe, seed=seed, **settings)
    die_at(random.Random(seed).randrange(5, 16))
    with pytest.raises(Died):
        run.main([str(cut)])
    assert (cut / "checkpoint" / "position.json").exists()
    assert run.main([str(cut)]) == run.DONE
    assert_same(cut, whole)


@pytest.mark.parametrize("recipe", ["rloo", "grpo"])
@pytest.mark.parametrize("place", ["draw", *later("reward", "tell")])
def test_rloo_and_grpo_cancelled_lose_nothing(
    recipe: str, place: str, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGTERM while it draws, scores, or has just taken a step: the checkpoint is that of the last whole step."""
    settings = {**GROUPS, "gradient_accumulation": 2, "checkpoint_every": 100}
    whole, cut = make("whole", recipe, **settings), make("cut", recipe, **settings)
    assert run.main([str(whole)]) == run.DONE
    owner = Telling if place == "tell" else OurRollouts
    method, count = getattr(owner, place), 0

    def interrupted(self: Any, *given: Any, **more: Any) -> Any:
        nonlocal count
        count += 1
        if count == 5:
            os.kill(os.getpid(), signal.SIGTERM)
        return method(self, *given, **more)

    monkeypatch.setattr(owner, place, interrupted)
    assert run.main([str(cut)]) == run.CANCELLED
    position = json.loads((cut / "checkpoint" / "position.json").read_text())
    assert position["step"] == (5 if place == "tell" else 4)
    cancel.reset()
    assert run.main([str(cut)]) == run.DONE
    assert_same(cut, whole)


@pytest.mark.slow
@pytest.mark.long
def test_a_killed_process_of_ppo_resumes_to_the_same_end(make: Make) -> None:
    """kill -9 in the middle, then SIGTERM (exit code 4), then to the end."""
    settings = {**PPO_SETTINGS, "epochs": 8, "max_new_tokens": 24}
    whole, cut = make("whole", **settings), make("cut", **settings)
    assert run.main([str(whole)]) == run.DONE
    assert child.start_and_signal(cut, 3, signal.SIGKILL) == -signal.SIGKILL
    assert (cut / "checkpoint" / "position.json").exists()
    assert child.start_and_signal(cut, 8, signal.SIGTERM) == run.CANCELLED
    assert run.main([str(cut)]) == run.DONE
    assert_same(cut, whole)


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("recipe", ["ppo", "rloo", "grpo"])
def test_a_process_killed_at_a_random_step_resumes_to_the_same_end(recipe: str, make: Make) -> None:
    """kill -9, three seeds; what the next process finds is a checkpoint of an earlier step, or none."""
    settings = {**PPO_SETTINGS, "epochs": 6, "max_new_tokens": 12} if recipe == "ppo" else GROUPS
    whole = make("whole", recipe, **settings)
    assert run.main([str(whole)]) == run.DONE
    last = len(steps(whole))
    for seed in range(3):
        cut = make(f"cut-{seed}", recipe, **settings)
        step = random.Random(f"{recipe} {seed}").randint(1, last - 2)
        assert child.start_and_signal(cut, step, signal.SIGKILL) == -signal.SIGKILL
        assert not (cut / "artifact").exists()
        assert run.main([str(cut)]) == run.DONE
        assert_same(cut, whole)
