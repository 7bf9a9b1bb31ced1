"""Every recipe with every adapter method, end to end on a tiny model; docs/adapters.md says what is found here.

Every cell is tried by the long line, where it is interrupted too. The short line tries what is refused, reward models
by every method, every recipe with LoRA, and of the rest a diagonal on which each method meets one recipe.
"""

from __future__ import annotations

import json
import math
import os
import random
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.training.demonstrations import write_demonstrations
from tests.training.ml.jobs import manifest, write_job
from tests.training.ml.judges import lora_judge
from tests.training.ml.matrix import CELLS, DOCUMENT, NEEDS, TRAINING, Cell, tables, written
from tests.training.ml.trained import SMALL, TEXTS
from tests.training.planted import write_planted
from training.ml import run
from training.ml.device import choose_device
from training.ml.job import ModelSpec
from training.ml.load import load_reward_model, load_tokenizer
from training.ml.progress import Progress, read_lines
from training.ml.scoring import score
from training.recipes import RECIPES, UNTRAINED
from training.recipes.adapters import HEAD
from training.recipes.reward import METHODS

STEPS = 3
ROLLOUTS = ("ppo", "rloo", "grpo")


def named(cell: Cell) -> str:
    return f"{cell.recipe}-{cell.adapter}"


def in_the_short_line(cell: Cell) -> bool:
    """Of the cells of policies; those of reward models go on to pay PPO."""
    diagonal = POLICIES[METHODS.index(cell.adapter) % len(POLICIES)]
    return bool(cell.refusal) or cell.adapter == "lora" or cell.recipe == diagonal


POLICIES = [name for name in TRAINING if name != "reward"]
SHORT = [cell for cell in CELLS if cell.recipe != "reward" and in_the_short_line(cell)]
TRAINED = pytest.mark.parametrize("cell", [cell for cell in CELLS if not cell.refusal], ids=named)


class Bench:
    """Where the cells are tried: bases with and without biases, data, and a reward model for those that need one."""

    def __init__(self, directory: Path, llama: Path, qwen2: Path) -> None:
        self.llama, self.qwen2 = llama, qwen2
        self.judge = lora_judge(directory, llama)
        self.pairs = write_planted(directory / "pairs", train=2 * STEPS, test=2)
        self.demonstrations = write_demonstrations(directory / "demonstrations", train=2 * STEPS, test=2)

    def base(self, adapter: str) -> Path:
        return self.qwen2 if adapter == "bias" else self.llama

    def job(self, directory: Path, cell: Cell, base: Path | None = None) -> Path:
        config: dict[str, Any] = {"adapter": cell.adapter, **SMALL, "learning_rate": 0.01, "checkpoint_every": 1}
        config |= {"batch_size": 2, "gradient_accumulation": 1}
        data, more = self.demonstrations if cell.recipe == "sft" else self.pairs, {}
        if cell.recipe in ROLLOUTS:
            more["reward_model"] = self.judge
            config |= {"max_new_tokens": 6, "epochs": 1}
            config |= {"rollouts": 2} if cell.recipe == "ppo" else {"generations": 2}
        return write_job(directory, cell.recipe, base or self.base(cell.adapter), data, **more, **config)


@pytest.fixture(scope="module")
def bench(fixture_model: Path, qwen2_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(tmp_path_factory.mktemp("bench"), fixture_model, qwen2_model)


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    # Sums of floating point numbers depend on how many threads share them.
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


@pytest.mark.parametrize("cell", SHORT, ids=named)
def test_a_recipe_takes_an_adapter_or_says_why_not(bench: Bench, cell: Cell, tmp_path: Path) -> None:
    job = bench.job(tmp_path / "job", cell)
    code = run.main([str(job)])
    if cell.refusal:
        assert code == run.FAILED and refusal(job) == cell.refusal
        return
    assert code == run.DONE
    assert_of_use(bench, cell, job)


def assert_of_use(bench: Bench, cell: Cell, job: Path) -> None:
    """The run told what it did, and what it has saved can be loaded and used."""
    told = manifest(job)
    assert told["config"]["adapter"] == cell.adapter
    assert told["recipe"] == cell.recipe
    assert told["kind"] == ("full" if cell.adapter == "full" else "adapter")
    assert told["task"] == ("reward" if cell.recipe == "reward" else "policy")
    assert 0 < told["parameters"]["trainable"] <= told["parameters"]["total"]
    assert bool(told["fallbacks"]) == (cell.adapter == "qlora")
    assert any(line.get("fallbacks") == told["fallbacks"] for line in lines(job)) == (cell.adapter == "qlora")
    losses = [line["metrics"]["loss"] for line in lines(job) if line["kind"] == "step"]
    assert len(losses) >= STEPS and all(map(math.isfinite, losses))
    (assert_scores if told["task"] == "reward" else assert_answers)(bench, cell, job, told)


def assert_scores(bench: Bench, cell: Cell, job: Path, told: dict[str, Any]) -> None:
    """The reward model that was saved scores texts, and tells them apart."""
    model = load_reward_model(spec(bench, cell, job), cache=job, device=choose_device())
    tokenizer = load_tokenizer(ModelSpec(str(bench.base(cell.adapter))), cache=job)
    scores = score(model, tokenizer, TEXTS, 2)
    assert all(map(math.isfinite, scores)) and max(scores) - min(scores) > 1e-3


def assert_answers(bench: Bench, cell: Cell, job: Path, told: dict[str, Any]) -> None:
    """The policy that was saved answers prompts by the recipe "sample"."""
    model = spec(bench, cell, job)
    directory = job.parent / "sample"
    prompts = directory / "prompts.jsonl"
    config = {"samples_per_prompt": 2, "max_new_tokens": 5}
    write_job(directory, "sample", Path(model.base), {}, adapters=model.adapters, **config)
    rows = [{"id": number, "messages": messages} for number, (messages, _) in enumerate(TEXTS)]
    prompts.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    settings = json.loads((directory / "job.json").read_text())
    (directory / "job.json").write_text(json.dumps({**settings, "data": None, "prompts": str(prompts)}))
    assert run.main([str(directory)]) == run.DONE
    assert json.loads((directory / "result.json").read_text())["samples"] == 2 * len(TEXTS)
    assert told["metrics"]["samples"]


def spec(bench: Bench, cell: Cell, job: Path) -> ModelSpec:
    artifact = str(job / "artifact")
    return ModelSpec(artifact) if cell.adapter == "full" else ModelSpec(str(bench.base(cell.adapter)), (artifact,))


@pytest.mark.parametrize("adapter", METHODS)
def test_ppo_pays_what_a_reward_model_by_any_method_says(bench: Bench, adapter: str, tmp_path: Path) -> None:
    """The reward told with a sample is the score of its text, to 1e-5: also where policy and judge share layers. And
    the cell of that reward model holds."""
    judge = Cell("reward", adapter)
    assert run.main([str(bench.job(tmp_path / "judge", judge))]) == run.DONE
    assert_of_use(bench, judge, tmp_path / "judge")
    found = spec(bench, judge, tmp_path / "judge")
    job = bench.job(tmp_path / "job", Cell("ppo", "lora"))
    settings = json.loads((job / "job.json").read_text())
    (job / "job.json").write_text(json.dumps({**settings, "reward_model": found.as_dict()}))
    assert run.main([str(job)]) == run.DONE
    samples = [row for line in lines(job) if line["kind"] == "samples" for row in line["samples"]]
    tokenizer = load_tokenizer(ModelSpec(str(bench.base(adapter))), cache=job)
    model = load_reward_model(found, cache=job, device=choose_device())
    expected = score(model, tokenizer, [(row["prompt"], row["text"]) for row in samples], 3)
    assert len(samples) >= STEPS and max(expected) - min(expected) > 1e-3
    assert [row["reward"] for row in samples] == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("recipe", TRAINING)
@pytest.mark.parametrize("adapter", list(NEEDS))
def test_a_base_that_does_not_have_what_is_needed_is_refused(
    bench: Bench, recipe: str, adapter: str, tmp_path: Path
) -> None:
    job = bench.job(tmp_path / "job", Cell(recipe, adapter), base=bench.llama)
    assert run.main([str(job)]) == run.FAILED
    assert refusal(job) == NEEDS[adapter][1]


@pytest.mark.slow
@pytest.mark.long
@TRAINED
def test_a_run_left_alone_is_of_use_and_a_cancelled_one_resumes_to_the_same_end(
    bench: Bench, cell: Cell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGTERM after a step that a seed draws; every recipe with every adapter that it takes. The run that is left alone
    is looked at as in the short line."""
    whole, cut = bench.job(tmp_path / "whole", cell), bench.job(tmp_path / "cut", cell)
    assert run.main([str(whole)]) == run.DONE
    assert_of_use(bench, cell, whole)
    last, step = random.Random(f"{cell}").randint(1, STEPS - 1), Progress.step

    def told(progress: Progress, stage: str, **more: Any) -> None:
        step(progress, stage, **more)
        if more["step"] == last:
            os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(Progress, "step", told)
        assert run.main([str(cut)]) == run.CANCELLED
    run.cancel.reset()
    assert run.main([str(cut)]) == run.DONE
    found, expected = ([line for line in lines(job) if line["kind"] == "step"] for job in (cut, whole))
    assert [line["step"] for line in found] == [line["step"] for line in expected]
    for ours, theirs in zip(found, expected, strict=True):
        assert ours["metrics"] == pytest.approx(theirs["metrics"], abs=1e-5)
    assert manifest(cut)["metrics"].get("samples") == manifest(whole)["metrics"].get("samples")


def test_the_document_says_what_is_found_here() -> None:
    """Write it anew with `python -m tests.training.ml.matrix`."""
    document = DOCUMENT.read_text(encoding="utf-8")
    assert written(document) == document
    assert tables().count("| `lora` |") == 2


def test_every_recipe_that_trains_stands_in_the_matrix() -> None:
    assert [name for name in RECIPES if name not in UNTRAINED] == TRAINING
    assert len(CELLS) == len(TRAINING) * len(METHODS)
    assert {cell.recipe for cell in SHORT if not cell.refusal} == set(POLICIES)
    assert {cell.adapter for cell in SHORT if not cell.refusal} == {*METHODS} - {HEAD}


def refusal(job: Path) -> str:
    assert not (job / "artifact").exists()
    told = json.loads((job / "error.json").read_text())
    assert told["message"] and told["hint"]
    return told["code"]


def lines(job: Path) -> list[dict[str, Any]]:
    return list(read_lines(job / "progress.jsonl"))
