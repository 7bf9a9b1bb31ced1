"""On a device with bf16: what is loaded for use computes what was trained and evaluated, its adapter beside the weights
in fp32. A CPU stands in for the GPU: it computes in bf16 too, slowly."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from peft.tuners.lora.layer import Linear as LoraLinear

from tests.training.ml import judges, trained
from tests.training.ml.jobs import job_of, manifest
from tests.training.ml.trained import TEXTS, Trained, train_briefly
from tests.training.planted import write_planted
from training.ml import adapter_files, fallbacks, group_recipe, policy_run, ppo, rloo
from training.ml.chat import prompt_ids
from training.ml.decoding import Drawing, complete
from training.ml.device import Device, choose_device
from training.ml.job import ModelSpec
from training.ml.load import load_policy, load_reward_model, load_tokenizer
from training.ml.low_rank import AddingLinear
from training.ml.scoring import score
from training.recipes import load

# Those that could become part of the weights, and must not here.
BESIDE = ["lora", "lora-rslora", "lora-dora", "ia3", "qlora"]
TWO = "policy and reference on one backbone, reward and value model on another"
QUICK = {"batch_size": 4, "gradient_accumulation": 1, "max_new_tokens": 6, "learning_rate": 0.003, "epochs": 1}


@pytest.fixture
def half(monkeypatch: pytest.MonkeyPatch) -> Device:
    found = replace(choose_device(), dtype=torch.bfloat16)
    for module in (trained, judges, ppo, group_recipe, policy_run, fallbacks):
        monkeypatch.setattr(module, "choose_device", lambda: found)
    return found


@pytest.fixture(params=[(task, variant) for task in ("policy", "reward") for variant in BESIDE], ids="-".join)
def one(request: pytest.FixtureRequest, half: Device, fixture_model: Path, tmp_path: Path) -> Trained:
    task, variant = request.param
    return train_briefly(variant, task, fixture_model, tmp_path / "artifact")


def adding(model: torch.nn.Module) -> int:
    """How many of its layers add a LoRA's product as it is computed."""
    return sum(isinstance(part, AddingLinear) for part in model.modules())


def test_what_is_loaded_for_use_computes_what_was_trained(one: Trained, half: Device) -> None:
    loaded = one.reloaded()
    assert isinstance(loaded, PeftModel) and loaded.get_base_model().dtype == torch.bfloat16
    assert adding(one.model) == adding(loaded)
    with torch.no_grad():
        expected, found = one.outcome(one.model), one.outcome(loaded)
        other = one.outcome(adapter_files.merged(loaded))
    assert torch.allclose(found, expected, rtol=0, atol=1e-5)
    assert not torch.allclose(other, expected, rtol=0, atol=1e-4), "merged it would be another one"


def test_a_text_has_the_same_score_and_a_prompt_the_same_answers(one: Trained) -> None:
    """Through the doors that pages, files and rollouts use: padded batches, slots and prompts that are read once."""
    loaded = one.reloaded()
    if one.task == "reward":
        before, after = (score(model, one.tokenizer, TEXTS, 3) for model in (one.model, loaded))
        assert after == pytest.approx(before, abs=1e-5)
        return
    prompts = [prompt_ids(one.tokenizer, messages) for messages, _ in TEXTS]
    drawn = {"stop": frozenset(), "pad_id": one.tokenizer.pad_token_id, "drawing": Drawing(0.7, 0.9, 8)}
    before, after = (
        {found.row: found.ids for found in complete(model, prompts, [[1, 2]] * len(prompts), rows=3, **drawn)}
        for model in (one.model, loaded)
    )
    assert before == after and len(after) == 2 * len(prompts)


@pytest.mark.parametrize("variant", ["lora", "lora-dora", "ia3"])
def test_what_is_trained_on_top_begins_with_sums_that_were_rounded_once(
    variant: str, half: Device, fixture_model: Path, tmp_path: Path
) -> None:
    one = train_briefly(variant, "policy", fixture_model, tmp_path / "artifact")
    spec, cache = one.spec, {"cache": fixture_model}
    below = load_policy(ModelSpec(spec.base), **cache, device=half).float()
    exact = adapter_files.merged(adapter_files.attach(below, Path(spec.adapters[0])))
    found = load_policy(spec, **cache, device=half)
    names = [name for name, _ in found.named_parameters()]
    rounded, expected = found.state_dict(), exact.state_dict()
    assert found.dtype == torch.bfloat16 and not isinstance(found, PeftModel)
    assert all(torch.equal(rounded[name], expected[name].to(torch.bfloat16)) for name in names)


def test_a_run_says_that_its_start_was_rounded(half: Device, fixture_model: Path, tmp_path: Path) -> None:
    one = train_briefly("lora", "policy", fixture_model, tmp_path / "artifact")
    config = load("dpo", {"adapter": "lora", "rank": 4})
    assert any("rounded once" in said for said in fallbacks.fallbacks(config, one.spec.adapters))
    assert not fallbacks.fallbacks(config)
    assert not fallbacks.fallbacks(replace(config, adapter="full"), one.spec.adapters), "its weights are kept in fp32"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return write_planted(tmp_path_factory.mktemp("data"), train=8, test=4)


def test_ppo_has_its_value_beside_a_reward_that_is_not_merged(
    half: Device, fixture_model: Path, judge: dict[str, Any], data: dict[str, str], tmp_path: Path
) -> None:
    """The value begins as the reward does; training it moves no score."""
    more = {"reward_model": judge, "adapter": "ia3", **QUICK, "rollouts": 8, "ppo_epochs": 1}
    job = job_of(tmp_path / "run", "ppo", fixture_model, data, **more)
    actors = judges.actors_of(job)
    assert actors.sharing == TWO
    assert adding(actors.value.body) == sum(isinstance(part, LoraLinear) for part in actors.value.body.modules()) > 0
    model = load_reward_model(job.reward_model, cache=job.cache, device=half)
    expected = score(model, load_tokenizer(job.reward_model, cache=job.cache), TEXTS, 4)
    rewarder = actors.rewarding
    assert rewarder.member_scores(TEXTS)[:, 0].tolist() == pytest.approx(expected, abs=1e-5)
    weights = dict(actors.value.body.named_parameters())
    copies = {name: weights[name.replace(".value.", ".default.")] for name in weights if ".value." in name}
    assert copies and all(torch.equal(weights[name], of_reward) for name, of_reward in copies.items())
    with torch.no_grad():
        for weight in actors.value.weights():
            weight.add_(torch.randn_like(weight) * 0.1)
    assert rewarder.member_scores(TEXTS)[:, 0].tolist() == pytest.approx(expected, abs=1e-5)
    ppo.run(job)
    found = manifest(job.directory)
    assert found["sharing"] == TWO and found["precision"] == "bf16"


def test_rloo_is_paid_by_a_reward_that_is_not_merged(
    half: Device, fixture_model: Path, judge: dict[str, Any], data: dict[str, str], tmp_path: Path
) -> None:
    more = {"reward_model": judge, **QUICK, "rank": 4, "generations": 2}
    job = job_of(tmp_path / "run", "rloo", fixture_model, data, **more)
    rloo.run(job)
    assert manifest(job.directory)["precision"] == "bf16"
