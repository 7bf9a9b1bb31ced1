"""Gradient checkpointing where a policy draws what it learns from: less memory, the same draws, the same gradients."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.utils.checkpoint import CheckpointError
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

from tests.training.ml.jobs import job_of, manifest
from tests.training.ml.judges import actors_of
from tests.training.ml.playground import questions, steps
from tests.training.ml.tensor_bytes import peak_bytes
from tests.training.planted import write_planted
from training.ml import grpo, ppo, rloo
from training.ml.computed_twice import computed_twice
from training.ml.device import Device
from training.ml.errors import ModelError
from training.ml.experience import Experience
from training.ml.job import Job
from training.ml.loop import fingerprint
from training.ml.machine import wants_checkpointing
from training.ml.ppo_loop import PPO
from training.ml.progress import Progress, read_lines
from training.ml.rollout import Rollout
from training.recipes import load
from training.recipes.estimate import Rewarder, read_architecture
from training.recipes.estimate.memory import memory
from training.recipes.estimate.players import value_model
from training.recipes.estimate.workload import workload
from training.recipes.ppo import PPOConfig
from training.recipes.reward import RewardConfig

pytestmark = pytest.mark.not_db
LENGTHS = [40, 37, 25, 40]
ONE = "policy, reference, reward and value model on one backbone"
TWO = "policy and reference on one backbone, reward and value model on another"
BESIDE = "policy, reference and value model on one backbone"
APART = "each on a backbone of its own"
CASTINGS = {ONE: ("lora", "own"), TWO: ("full", "own"), BESIDE: ("lora", "foreign"), APART: ("houlsby", "foreign")}
SETTINGS = {"rank": 4, "bottleneck": 8, "batch_size": 4, "gradient_accumulation": 1, "max_new_tokens": 6}
MODULES = {"ppo": ppo, "rloo": rloo, "grpo": grpo}
ON_GPU = Device(torch.device("cuda"), torch.bfloat16, "a GPU")  # nothing here computes on it
RUN = {**SETTINGS, "learning_rate": 0.003, "checkpoint_every": 2, "epochs": 1}
LONG = {"max_length": 256, "max_new_tokens": 240, "rollouts": 4, "early_stop_kl": 0.0}
OF_GROUPS = {"generations": 4}
OF_PPO = {"rollouts": 6, "epochs": 2, "ppo_epochs": 2}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return write_planted(tmp_path_factory.mktemp("data"), train=12, test=4)


@pytest.fixture(scope="module")
def noisy_model(fixture_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The fixture with a dropout of its own, which training mode would switch on."""
    copied = tmp_path_factory.mktemp("noisy") / "model"
    shutil.copytree(fixture_model, copied)
    return with_setting(copied / "config.json", "attention_dropout", 0.5).parent


@pytest.fixture(scope="module")
def noisy_judge(judge: dict[str, Any], noisy_model: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    copied = tmp_path_factory.mktemp("noisy") / "judge"
    shutil.copytree(judge["adapters"][0], copied)
    with_setting(copied / "adapter_config.json", "lora_dropout", 0.5)
    return {"base": str(noisy_model), "adapters": [str(copied)]}


def with_setting(path: Path, name: str, value: float) -> Path:
    path.write_text(json.dumps({**json.loads(path.read_text()), name: value}))
    return path


@pytest.fixture(params=CASTINGS)
def job(
    request: pytest.FixtureRequest,
    noisy_model: Path,
    noisy_judge: dict[str, Any],
    foreign_judge: dict[str, Any],
    data: dict[str, str],
    tmp_path: Path,
) -> Job:
    adapter, judge = CASTINGS[request.param]
    of = noisy_judge if judge == "own" else foreign_judge
    return job_of(tmp_path / "run", "ppo", noisy_model, data, reward_model=of, adapter=adapter, **SETTINGS)


def game(job: Job, *, checkpointing: bool) -> PPO:
    """As a run sets it up, and every adapter moved away from the others."""
    actors, tokenizer = actors_of(job), AutoTokenizer.from_pretrained(job.model.base)
    torch.manual_seed(1)
    for weight in actors.trained.parameters():
        if weight.requires_grad:
            weight.data.add_(torch.randn_like(weight) * 0.1)
    where = {"seed": 0, "directory": job.directory, "progress": Progress(job.directory)}
    found = PPO(actors, tokenizer, questions(tokenizer, 4), job.config, **where, checkpointing=checkpointing)
    actors.trained.eval()
    return found


def experience(found: PPO, lengths: Sequence[int] = LENGTHS) -> list[Experience]:
    torch.manual_seed(2)
    rows = []
    for prompt, length in zip(found.prompts, lengths, strict=True):
        rollout = Rollout(prompt, torch.randint(5, 200, (length,)).tolist(), True, "")
        rows.append(Experience(rollout, 0.0, *(torch.randn(length) for _ in range(4))))
    return rows


def gradients(found: PPO) -> dict[str, Tensor]:
    rows = experience(found)
    with computed_twice(found.twice):
        found.policy_part(rows, sum(LENGTHS))
        found.value_part(rows, sum(LENGTHS))
    weights = found.actors.trained.named_parameters()
    return {name: weight.grad for name, weight in weights if weight.grad is not None}


def test_gradients_are_those_of_layers_that_are_kept_whoever_shares_a_backbone(
    job: Job, request: pytest.FixtureRequest
) -> None:
    twice, once = game(job, checkpointing=True), game(job, checkpointing=False)
    assert twice.actors.sharing == request.node.callspec.params["job"]
    found, expected = gradients(twice), gradients(once)
    trained = {name for name, weight in once.actors.trained.named_parameters() if weight.requires_grad}
    assert found.keys() == expected.keys() == trained
    for name, gradient in expected.items():
        assert (found[name] - gradient).norm() <= 1e-6 * gradient.norm(), name
    assert sum(gradient.norm() > 0 for gradient in expected.values()) > len(expected) / 2


@pytest.mark.parametrize("job", [ONE, BESIDE], indirect=True)
def test_a_layer_that_is_computed_again_under_another_adapter_is_noticed(job: Job) -> None:
    """Why the value model is asked and backpropagated inside of `at_work`; adapters of one size would not even tell."""
    found = game(job, checkpointing=True)
    with computed_twice(found.twice):
        with found.actors.value.at_work():
            values = found.actors.value([row.rollout for row in experience(found)])
        with pytest.raises(CheckpointError):
            values.sum().backward()


@pytest.mark.parametrize("job", [ONE, BESIDE], indirect=True)
def test_an_update_takes_less_memory_and_what_is_estimated(job: Job) -> None:
    """Beyond the loaded models: gradients, moments and activations of policy and value model, whichever is larger."""
    measured, estimated = {}, {}
    for how in ("off", "on"):
        config = replace(job.config, **LONG, gradient_checkpointing=how)
        measured[how] = peak_bytes(update_of(game(replace(job, config=config), checkpointing=how == "on")))
        estimated[how] = beyond_the_models(job, config)
    assert measured["on"] < 0.7 * measured["off"]
    assert estimated["off"] == pytest.approx(measured["off"], rel=0.1)
    # The block that is computed again is counted beside the logits, before which it is not there: here, one of two.
    assert 0.95 * measured["on"] < estimated["on"] < 1.4 * measured["on"]


def update_of(found: PPO) -> Callable[[], None]:
    """Two, so that the optimizer has its moments."""
    rows = experience(found, [LONG["max_new_tokens"] - one % 2 for one in range(4)])

    def work() -> None:
        for _ in range(2):
            with computed_twice(found.twice):
                found.update([rows], 1e-3)

    return work


def beyond_the_models(job: Job, config: PPOConfig) -> int:
    model = read_architecture(json.loads((Path(job.model.base) / "config.json").read_text()))
    shared = bool(job.reward_model.adapters)
    reward = Rewarder(model if shared else replace(model, vocabulary=400), RewardConfig(rank=8), on_policy=shared)
    whole = memory(model, config, workload("ppo", config), "cpu", reward)
    learning = value_model(model, config, workload("ppo", config), reward).trained
    return whole.total - sum(whole.parts[name] for name in ("weights", "reward", "reference")) - 4 * learning


class Died(BaseException):
    """What kill -9 looks like from within: nothing after it is done."""


@pytest.mark.parametrize("recipe", MODULES)
def test_a_run_draws_and_learns_the_same_and_so_does_one_that_goes_on(
    recipe: str,
    noisy_model: Path,
    noisy_judge: dict[str, Any],
    data: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The drawing keeps its cache of keys and values, or its texts would be others."""

    def made(how: str) -> Job:
        settings = {**RUN, **(OF_PPO if recipe == "ppo" else OF_GROUPS), "gradient_checkpointing": how}
        return job_of(tmp_path / how, recipe, noisy_model, data, reward_model=noisy_judge, **settings)

    once, twice = made("auto"), made("on")
    MODULES[recipe].run(once)
    tell = Progress.step

    def dying(self: Progress, stage: str, *, step: int, **more: Any) -> None:
        tell(self, stage, step=step, **more)
        if step == 3:
            raise Died

    with monkeypatch.context() as patch:
        patch.setattr(Progress, "step", dying)
        with pytest.raises(Died):
            MODULES[recipe].run(twice)
    assert '"step": 2' in (twice.directory / "checkpoint" / "position.json").read_text()
    MODULES[recipe].run(twice)
    assert [manifest(job.directory)["gradient_checkpointing"] for job in (once, twice)] == [False, True]
    assert_same(once.directory, twice.directory)


def assert_same(one: Path, other: Path) -> None:
    assert len(steps(one)) == len(steps(other)) > 3
    for mine, theirs in zip(steps(one), steps(other), strict=True):
        assert mine == pytest.approx(theirs, rel=1e-5, abs=1e-6, nan_ok=True)
    samples = [
        [line["samples"] for line in read_lines(path / "progress.jsonl") if line["kind"] == "samples"]
        for path in (one, other)
    ]
    assert samples[0] == samples[1]
    weights = [load_file(next((path / "artifact").glob("*.safetensors"))) for path in (one, other)]
    assert all(torch.allclose(weights[0][name], weights[1][name], atol=1e-6) for name in weights[0])


@pytest.mark.parametrize("recipe", MODULES)
def test_a_checkpoint_asks_for_neither(recipe: str) -> None:
    """Also one of a run from before there was a choice."""
    marks = {fingerprint([], load(recipe, {"gradient_checkpointing": how}), 0) for how in ("auto", "on", "off")}
    assert len(marks) == 1


@pytest.mark.parametrize("recipe", MODULES)
@pytest.mark.parametrize("adapter", ["prefix", "p_tuning_v2"])
def test_keys_before_the_text_are_refused_before_anything_is_drawn_and_auto_leaves_them(
    recipe: str, adapter: str, fixture_model: Path, judge: dict[str, Any], data: dict[str, str], tmp_path: Path
) -> None:
    settings = {**SETTINGS, "adapter": adapter, "gradient_checkpointing": "on"}
    settings |= {} if recipe == "ppo" else OF_GROUPS
    job = job_of(tmp_path / "run", recipe, fixture_model, data, reward_model=judge, **settings)
    with pytest.raises(ModelError, match="gradient checkpointing loses them"):
        MODULES[recipe].run(job)
    assert not steps(job.directory)
    assert not wants_checkpointing([llama_of(1)], load(recipe, {"adapter": adapter}), ON_GPU, 10**9)


def llama_of(layers: int) -> LlamaForCausalLM:
    sizes = {"vocab_size": 100, "hidden_size": 64, "intermediate_size": 64, "num_attention_heads": 4}
    return LlamaForCausalLM(LlamaConfig(**sizes, num_hidden_layers=layers)).requires_grad_(False)


@pytest.mark.parametrize(("policy", "value", "expected"), [(1, 1, False), (1, 40, True), (40, 1, True)])
def test_auto_looks_at_the_larger_of_the_models_that_learn(
    policy: int, value: int, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (50_000_000, 0))
    assert wants_checkpointing([llama_of(policy), llama_of(value)], load("ppo", {}), ON_GPU, 1024) is expected
