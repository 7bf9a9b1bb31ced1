"""Weights in fp32, products in bf16: what a GPU does where a model's own weights are trained. autocast is the same on a
CPU, so all of it can be seen here but the speed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from tests.training.ml.completion_logps import completion_logps
from tests.training.ml.jobs import job_of, manifest
from tests.training.ml.playground import steps
from tests.training.planted import write_planted
from training.ml import dpo, policy_run, ppo, reward, run
from training.ml.decoding import Drawing, complete, stop_ids
from training.ml.device import Device, choose_device
from training.ml.job import Job, ModelSpec
from training.ml.load import load_policy, load_reward_model, load_tokenizer
from training.ml.precision import Mixed, for_frozen, for_training
from training.ml.prompt_data import AskedPrompt
from training.ml.reference import model_key
from training.ml.rollout import roll_out
from training.recipes import load

GPU = Device(torch.device("cuda"), torch.bfloat16, "a GPU")
OLD_GPU = Device(torch.device("cuda"), torch.float32, "an old GPU")
PAIR = [([5, 9, 30, 31, 80, 44], [12, 77, 60, 3]), ([5, 9, 30], [7, 7, 8])]


def here() -> Mixed:
    return Mixed(torch.device("cpu"), torch.float32, "cpu")


@pytest.fixture
def mixed(monkeypatch: pytest.MonkeyPatch) -> None:
    """This machine as a device of bf16, for what is trained."""
    for module in (reward, ppo, policy_run):
        monkeypatch.setattr(module, "for_training", lambda device, config: here())


@pytest.mark.parametrize("adapter", ["full", "bias", "last_layers"])
def test_weights_of_the_model_itself_are_kept_in_fp32_and_multiplied_in_bf16(adapter: str) -> None:
    device = for_training(GPU, load("dpo", {"adapter": adapter}))
    assert isinstance(device, Mixed) and device.dtype == torch.float32
    assert device.precision == "bf16, weights fp32" and "fp32" in device.reason
    assert type(for_training(OLD_GPU, load("dpo", {"adapter": adapter}))) is Device


def test_an_adapter_is_trained_beside_weights_in_bf16() -> None:
    assert for_training(GPU, load("dpo", {"adapter": "lora"})) == GPU


def test_a_model_that_is_not_trained_takes_half_the_memory() -> None:
    device = for_frozen(for_training(GPU, load("ppo", {"adapter": "full"})))
    assert type(device) is Device and device.dtype == torch.bfloat16


def test_what_is_computed_in_either_arithmetic_is_kept_apart(fixture_model: Path, tmp_path: Path) -> None:
    """Weights and their precision are the same: a CPU that shares the cache would read what a GPU has rounded."""
    tokenizer, config = load_tokenizer(ModelSpec(str(fixture_model)), cache=tmp_path), load("dpo", {"adapter": "full"})
    exact, half, again = (policy(fixture_model, device, tmp_path) for device in (choose_device(), here(), here()))
    key = model_key(half, tokenizer, config)
    assert key == model_key(again, tokenizer, config) != model_key(exact, tokenizer, config)


def policy(model: Path, device: Device, cache: Path) -> Any:
    return load_policy(ModelSpec(str(model)), cache=cache, device=device).requires_grad_(True)


@pytest.mark.parametrize("model", ["fixture_model", "gpt2_model", "qwen2_model"])
def test_the_gradient_is_that_of_fp32_but_for_the_digits_of_bf16(
    model: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    folder = request.getfixturevalue(model)
    exact, half = policy(folder, choose_device(), tmp_path), policy(folder, here(), tmp_path)
    found = [completion_logps(one, PAIR) for one in (exact, half)]
    assert found[1].dtype == torch.float32
    assert torch.allclose(*found, rtol=1e-2) and not torch.equal(*found), "it is another arithmetic"
    for one in found:
        one.sum().backward()
    for (name, a), b in zip(exact.named_parameters(), half.parameters(), strict=True):
        assert b.dtype == b.grad.dtype == torch.float32
        assert (a.grad - b.grad).norm() <= 0.03 * a.grad.norm() + 1e-6, name


def test_nothing_of_it_stays_behind_a_pass_even_one_that_fails(fixture_model: Path, tmp_path: Path) -> None:
    model = policy(fixture_model, here(), tmp_path)
    with pytest.raises(IndexError):
        model(input_ids=torch.tensor([[10**6]]))
    assert not torch.is_autocast_enabled("cpu")
    left, right = torch.randn(3, 3), torch.randn(3, 3)
    assert (left @ right).dtype == torch.float32
    assert completion_logps(model, PAIR).isfinite().all()


def cell(directory: Path, recipe: str, model: Path, **more: Any) -> Job:
    data = write_planted(directory / "data", train=12, test=4)
    settings = {"batch_size": 4, "gradient_accumulation": 1, "learning_rate": 0.0005, "adapter": "full"}
    return job_of(directory / recipe, recipe, model, data, **settings | more)


@pytest.mark.usefixtures("mixed")
@pytest.mark.parametrize("module", [dpo, reward])
def test_a_run_trains_evaluates_and_answers_so_and_is_saved_in_fp32(
    module: Any, fixture_model: Path, tmp_path: Path
) -> None:
    job = cell(tmp_path, module.__name__.rpartition(".")[2], fixture_model, epochs=2)
    module.run(job)
    told = manifest(job.directory)
    assert told["precision"] == "bf16, weights fp32"
    assert told["metrics"]["accuracy"]["n"] == 4
    load_saved = load_reward_model if module is reward else load_policy
    saved = load_saved(ModelSpec(str(job.directory / "artifact")), cache=tmp_path, device=choose_device())
    assert {weight.dtype for weight in saved.parameters()} == {torch.float32}


@pytest.mark.usefixtures("mixed")
def test_ppo_draws_and_learns_so(fixture_model: Path, judge: dict[str, Any], tmp_path: Path) -> None:
    """The ratio of the first update is that of a policy to itself."""
    more = {"rollouts": 4, "max_new_tokens": 6, "epochs": 1, "ppo_epochs": 1, "reward_model": judge}
    job = cell(tmp_path, "ppo", fixture_model, **more)
    assert run.main([str(job.directory)]) == run.DONE
    told = manifest(job.directory)
    assert told["precision"] == "bf16, weights fp32"
    ratios = [line["ratio"] for line in steps(job.directory)]
    assert ratios[0] == pytest.approx(1.0, abs=1e-4)


class Casts(TorchDispatchMode):
    """Counts how often one of the `weights` is put into bf16."""

    def __init__(self, weights: list[torch.Tensor]) -> None:
        super().__init__()
        self.places, self.number = {weight.data_ptr() for weight in weights}, 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = function(*args, **kwargs or {})
        if isinstance(found, torch.Tensor) and found.dtype == torch.bfloat16:
            self.number += getattr(args[0], "dtype", None) == torch.float32 and args[0].data_ptr() in self.places
        return found


def test_while_it_draws_a_weight_is_put_into_bf16_once_and_not_for_every_token(
    fixture_model: Path, tmp_path: Path
) -> None:
    model = policy(fixture_model, here(), tmp_path)
    tokenizer = load_tokenizer(ModelSpec(str(fixture_model)), cache=tmp_path)
    asked = [AskedPrompt("a", [], [5, 9, 30, 31]), AskedPrompt("b", [], [7, 8])]
    weights = [part.weight for part in model.modules() if isinstance(part, torch.nn.Linear)]
    with Casts(weights) as casts:
        drawn = roll_out(model, tokenizer, asked, [1, 2], Drawing(1.0, 1.0, 6))
    assert casts.number == len(weights)
    kept = [part.weight for part in model.modules() if isinstance(part, torch.nn.Linear)]
    assert all(one is before and one.requires_grad for one, before in zip(kept, weights, strict=True))
    prompts = [prompt.ids for prompt in asked]
    each = {"stop": stop_ids(model, tokenizer), "pad_id": 0, "drawing": Drawing(1.0, 1.0, 6)}
    again = {one.row: one.ids for one in complete(model, prompts, [[1], [2]], **each)}
    assert [one.ids for one in drawn] == [again[0], again[1]]
    assert max(len(one.ids) for one in drawn) > 2


def test_a_copy_of_the_device_stays_what_it_is() -> None:
    assert isinstance(replace(here(), name="other"), Mixed)
