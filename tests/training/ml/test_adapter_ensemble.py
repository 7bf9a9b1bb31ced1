"""Reward models whose members are LoRAs of their own: each is what it would be alone, saved, scored and rewarded by."""

import json
import shutil
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel, set_peft_model_state_dict
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from tests.training.ml.jobs import job_of, manifest, write_job
from tests.training.ml.playground import steps
from tests.training.planted import planted_rows, write_planted
from training.ml import launched, rollout_evaluation, run
from training.ml.adapter_ensemble import FILE, member_files
from training.ml.adapters import apply_adapter, parameter_counts
from training.ml.artifact import read_manifest, weights_sha256
from training.ml.batching import pad
from training.ml.chat import encode, prompt_ids
from training.ml.device import choose_device
from training.ml.errors import ModelError
from training.ml.job import ModelSpec
from training.ml.load import load_policy, load_reward_base, load_reward_model, load_tokenizer
from training.ml.progress import read_lines
from training.ml.prompt_data import AskedPrompt
from training.ml.rewarding import combined, load_rewarder
from training.ml.rollout import Rollout
from training.ml.scoring import member_rewards, member_rewards_of, members_of, score
from training.recipes.estimate.adapters import parameters
from training.recipes.estimate.families import read_architecture
from training.recipes.reward import RewardConfig

pytestmark = pytest.mark.not_db

SETTINGS = {"members": 3, "ensemble_of": "adapters", "rank": 4, "learning_rate": 0.005, "batch_size": 4}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return write_planted(tmp_path_factory.mktemp("data"), train=24, test=12)


@pytest.fixture(scope="module")
def trained(fixture_model: Path, data: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    job = write_job(tmp_path_factory.mktemp("run"), "reward", fixture_model, data, **SETTINGS)
    assert run.main([str(job)]) == run.DONE
    return job


@pytest.fixture(scope="module")
def spec(fixture_model: Path, trained: Path) -> ModelSpec:
    return ModelSpec(str(fixture_model), (str(trained / "artifact"),))


@pytest.fixture(scope="module")
def model(spec: ModelSpec, trained: Path) -> nn.Module:
    return load_reward_model(spec, cache=trained, device=choose_device())


@pytest.fixture(scope="module")
def tokenizer(spec: ModelSpec, trained: Path) -> PreTrainedTokenizerBase:
    return load_tokenizer(spec, cache=trained)


def texts(tokenizer: PreTrainedTokenizerBase) -> list[list[int]]:
    rows = planted_rows(30)[24:]
    return [encode(tokenizer, row["prompt"], row["chosen"][0]["content"]).ids for row in rows]


@torch.no_grad()
def scores(model: nn.Module, sequences: list[list[int]], side: str = "right") -> Tensor:
    return member_rewards(model, pad(sequences, 0, side))


def test_each_member_is_the_model_that_its_own_files_make(
    model: nn.Module, spec: ModelSpec, tokenizer: PreTrainedTokenizerBase, tmp_path: Path
) -> None:
    """Put onto the base by PEFT alone, one at a time, as anybody would who found the files."""
    sequences, artifact = texts(tokenizer), Path(spec.adapters[-1])
    found = scores(model, sequences)
    assert found.shape == (len(sequences), 3)
    assert members_of(model).names == ["default", "member_1", "member_2"]
    for place, file in enumerate([artifact / "adapter_model.safetensors", *member_files(artifact)]):
        base = load_reward_base(ModelSpec(spec.base), cache=tmp_path, device=choose_device(), members=3)
        alone = PeftModel.from_pretrained(base, artifact)
        set_peft_model_state_dict(alone, load_file(artifact / "adapter_model.safetensors") | load_file(file))
        assert torch.allclose(scores(alone.eval(), sequences)[:, place], found[:, place], atol=1e-5)


def test_members_differ_in_their_layers_and_were_all_trained(spec: ModelSpec) -> None:
    artifact = Path(spec.adapters[-1])
    first, *others = [load_file(file) for file in [artifact / "adapter_model.safetensors", *member_files(artifact)]]
    assert len(others) == 2
    names = [name for name in first if "lora_B" in name]  # zero until they are trained
    for other in others:
        assert set(names) < set(other) and not any("score" in name for name in other)
        assert all(other[name].any() and not torch.allclose(other[name], first[name]) for name in names)


def test_scores_do_not_depend_on_company_order_or_padding(
    model: nn.Module, tokenizer: PreTrainedTokenizerBase, trained: Path
) -> None:
    sequences = texts(tokenizer)
    together = scores(model, sequences)
    alone = torch.cat([scores(model, [ids]) for ids in sequences])
    assert torch.allclose(together, alone, atol=1e-5)
    assert torch.allclose(together, scores(model, sequences[::-1], "left").flip(0), atol=1e-5)
    prompt = sequences[0][:5]
    pairs = [(prompt, [7, 8, 2]), (prompt, [9, 2]), (prompt, [7, 9, 11, 2])]
    with torch.no_grad():
        once = member_rewards_of(model, pairs, 0)
    assert torch.allclose(once, scores(model, [before + after for before, after in pairs]), atol=1e-5)
    rows = planted_rows(36)[24:]
    sides = [
        score(model, tokenizer, [(r["prompt"], r[s][0]["content"]) for r in rows], 5) for s in ("chosen", "rejected")
    ]
    margin = sum(c - r for c, r in zip(*sides, strict=True)) / len(rows)
    told = manifest(trained)["metrics"]
    assert margin == pytest.approx(told["margin"]["value"], abs=1e-5)
    assert told["disagreement"]["value"] > 0


def test_it_is_counted_as_it_is_built(fixture_model: Path, trained: Path, tmp_path: Path) -> None:
    config = RewardConfig(**SETTINGS)
    base = load_reward_base(ModelSpec(str(fixture_model)), cache=tmp_path, device=choose_device(), members=3)
    architecture = read_architecture(base.config.to_dict() | {"architectures": []})
    told = parameter_counts(apply_adapter(base, config, "reward"))
    counted = parameters(architecture, config, "reward")
    assert (counted.trainable, counted.total) == (told["trainable"], told["total"])
    assert manifest(trained)["parameters"] == told
    alone = parameters(architecture, RewardConfig(**{**SETTINGS, "ensemble_of": "heads"}), "reward")
    head = 3 * architecture.width
    assert counted.trainable - head == 3 * (alone.trainable - head)


def test_nothing_is_merged_into_it_and_the_reason_is_said(spec: ModelSpec, trained: Path) -> None:
    job = write_job(trained.parent / "merged", "merge", Path(spec.base), {}, adapters=spec.adapters)
    assert run.main([str(job)]) == run.FAILED
    assert "each in its own way" in (job / "error.json").read_text()


@pytest.mark.parametrize("spoil", ["lost", "missing", "changed", "foreign"])
def test_a_spoilt_member_is_refused(spoil: str, spec: ModelSpec, tmp_path: Path) -> None:
    artifact = Path(shutil.copytree(spec.adapters[-1], tmp_path / "artifact"))
    second = artifact / (FILE % 2)
    weights = load_file(second)
    if spoil in ("lost", "missing"):
        second.unlink()
    else:
        save_file({name: weight[:1].clone() for name, weight in weights.items()}, second)
    if spoil in ("foreign", "missing"):  # by somebody who has made the hash anew
        told = read_manifest(artifact) | {"weights_sha256": weights_sha256(artifact)}
        (artifact / "manifest.json").write_text(json.dumps(told))
    with pytest.raises(ModelError) as refused:
        load_reward_model(ModelSpec(spec.base, (str(artifact),)), cache=tmp_path, device=choose_device())
    assert refused.value.code == ("wrong_base" if spoil in ("foreign", "missing") else "broken_artifact")


@pytest.mark.parametrize(
    ("more", "processes", "named"),
    [({"gradient_checkpointing": "on"}, 1, "gradient_checkpointing"), ({"parallel": "fsdp"}, 2, "parallel")],
)
def test_what_it_cannot_do_is_refused_with_the_reason(
    more: dict[str, Any],
    processes: int,
    named: str,
    fixture_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    base = load_reward_base(ModelSpec(str(fixture_model)), cache=tmp_path, device=choose_device(), members=3)
    monkeypatch.setattr(launched, "processes", lambda: processes)
    with pytest.raises(ModelError, match=named) as refused:
        apply_adapter(base, RewardConfig(**SETTINGS, **more), "reward")
    assert refused.value.code == "bad_config"


def test_every_members_gradient_is_what_it_would_be_alone(
    fixture_model: Path, tokenizer: PreTrainedTokenizerBase, tmp_path: Path
) -> None:
    """Also where all are read before the first goes back, when the last one has been at work."""

    def made(**more: Any) -> nn.Module:
        torch.manual_seed(0)
        base = load_reward_base(ModelSpec(str(fixture_model)), cache=tmp_path, device=choose_device(), members=3)
        return apply_adapter(base, RewardConfig(**{**SETTINGS, **more}), "reward")

    several, alone, batch = made(), made(ensemble_of="heads"), pad(texts(tokenizer), 0)
    torch.manual_seed(1)
    with torch.no_grad():
        for name, weight in several.named_parameters():
            if "lora_B" in name:
                weight.normal_(std=0.1)
    signs = torch.tensor([1.0, -1.0] * 3)[:, None]
    (member_rewards(several, batch) * signs).sum().backward()
    found = dict(several.named_parameters())
    for place, member in enumerate(members_of(several).names):
        alone.zero_grad()
        own = {
            name: name.replace(".default.", f".{member}.") for name, _ in alone.named_parameters() if "lora_" in name
        }
        with torch.no_grad():
            for name, weight in alone.named_parameters():
                if name in own:
                    weight.copy_(found[own[name]])
        (member_rewards(alone, batch)[:, place] * signs[:, 0]).sum().backward()
        for name, weight in alone.named_parameters():
            if name in own:
                assert weight.grad.any() and torch.allclose(found[own[name]].grad, weight.grad, rtol=1e-4, atol=1e-6), (
                    name
                )
            elif weight.requires_grad:  # the head, of which each row is one member's
                assert torch.allclose(found[name].grad[place], weight.grad[place], rtol=1e-4, atol=1e-6)


def test_beside_a_base_in_16_bits_every_member_is_kept_in_32(
    spec: ModelSpec, fixture_model: Path, tmp_path: Path
) -> None:
    half = replace(choose_device(), dtype=torch.bfloat16)
    base = load_reward_base(ModelSpec(str(fixture_model)), cache=tmp_path, device=half, members=3)
    made = apply_adapter(base, RewardConfig(**SETTINGS), "reward")
    loaded = load_reward_model(spec, cache=tmp_path, device=half)
    for one in (made, loaded):
        kinds = {name.split(".")[-2]: weight.dtype for name, weight in one.named_parameters() if "lora_" in name}
        assert kinds == dict.fromkeys(("default", "member_1", "member_2"), torch.float32)
    trained = [name for name, weight in made.named_parameters() if weight.requires_grad]
    assert sum("lora_B.member_2" in name for name in trained) == sum("lora_B.default" in name for name in trained) > 0


def test_with_another_adapter_the_setting_does_not_count(fixture_model: Path, tmp_path: Path) -> None:
    config = RewardConfig(**{**SETTINGS, "adapter": "full"})
    assert config.separate_adapters == 1
    base = load_reward_base(ModelSpec(str(fixture_model)), cache=tmp_path, device=choose_device(), members=3)
    assert members_of(apply_adapter(base, config, "reward")) is None


@pytest.mark.parametrize("ensemble", ["mean", "worst", "uncertainty"])
def test_a_policy_is_measured_by_the_mean_of_the_members_whatever_it_was_rewarded_with(
    ensemble: str,
    spec: ModelSpec,
    model: nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    fixture_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    job = job_of(tmp_path / "run", "ppo", fixture_model, {}, reward_model=spec.as_dict(), ensemble=ensemble)
    rows, written = planted_rows(6), {}
    asked = [AskedPrompt(row["id"], row["prompt"], prompt_ids(tokenizer, row["prompt"])) for row in rows]
    for name in ("rejected", "chosen"):
        said = [row[name][0]["content"] for row in rows]
        written[name] = [Rollout(p, tokenizer.encode(text), True, text) for p, text in zip(asked, said, strict=True)]
    drawn = iter(written.values())
    monkeypatch.setattr(rollout_evaluation, "roll_out", lambda *_: next(drawn))
    policy = load_policy(ModelSpec(str(fixture_model)), cache=tmp_path, device=choose_device())
    parts = (policy, lambda: nullcontext(policy), load_rewarder(job, choose_device()), tokenizer, asked, job.config)
    found = rollout_evaluation.evaluate_rollouts(*parts, batch_size=4, seed=0)

    members = {
        name: scores(model, [encode(tokenizer, one.prompt.messages, one.text).ids for one in rollouts])
        for name, rollouts in written.items()
    }
    of_pages = [members[name].mean().item() for name in ("rejected", "chosen")]
    told = [found[name]["value"] for name in ("reward_before", "reward_after")]
    assert told == pytest.approx(of_pages, abs=1e-4)
    assert found["reward_gain"]["value"] == pytest.approx(of_pages[1] - of_pages[0], abs=1e-4)
    rewarded = [combined(members[name], ensemble, 1.0).mean().item() for name in ("rejected", "chosen")]
    if ensemble == "mean":
        assert "rewarded_before" not in found
    else:
        told = [found[name]["value"] for name in ("rewarded_before", "rewarded_after")]
        assert told == pytest.approx(rewarded, abs=1e-4)
        assert min(a - b for a, b in zip(of_pages, rewarded, strict=True)) > 0.001
        assert found["rewarded_gain"]["value"] == pytest.approx(rewarded[1] - rewarded[0], abs=1e-4)


def test_ppo_is_rewarded_by_its_worst_member(
    spec: ModelSpec, model: nn.Module, tokenizer: PreTrainedTokenizerBase, fixture_model: Path, tmp_path: Path
) -> None:
    few = write_planted(tmp_path / "few", train=4, test=2)
    ppo = {"batch_size": 2, "rollouts": 2, "max_new_tokens": 5, "ensemble": "worst", "learning_rate": 1e-6}
    played = write_job(tmp_path / "ppo", "ppo", fixture_model, few, reward_model=spec.as_dict(), **ppo)
    assert run.main([str(played)]) == run.DONE
    told = [line["samples"] for line in read_lines(played / "progress.jsonl") if line["kind"] == "samples"]
    assert told and len(told) == len(steps(played))
    for rows, step in zip(told, steps(played), strict=True):
        members = [scores(model, [encode(tokenizer, row["prompt"], row["text"]).ids])[0] for row in rows]
        assert all(one.max() > one.min() for one in members)
        assert [row["reward"] for row in rows] == pytest.approx([one.min().item() for one in members], abs=1e-4)
        assert step["score"] == pytest.approx(torch.stack(members).mean().item(), abs=1e-4)
    assert "reward" not in manifest(played)["sharing"]  # a backbone is shared with one adapter, not with several
