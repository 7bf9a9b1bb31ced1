"""The recipe "reward": what it learns, that its loss is TRL's, that its artifact scores the same, and how it fails."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

from tests.training.ml.jobs import curve, job_of, manifest, write_job
from tests.training.planted import planted_rows, row, write_planted, write_rows
from training.ml import reward, run
from training.ml.adapters import apply_adapter, require_change, trainable_hash
from training.ml.batching import pad
from training.ml.device import choose_device
from training.ml.errors import ModelError
from training.ml.job import ModelSpec
from training.ml.load import load_reward_model
from training.ml.pairs import Pair
from training.ml.progress import read_lines
from training.ml.reward_objective import both_sides, by_model, preference_likelihood
from training.ml.scoring import score
from training.recipes.reward import RewardConfig

FAST = {"learning_rate": 0.005, "rank": 8}


@pytest.fixture(scope="module")
def planted(fixture_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run on the planted preference."""
    directory = tmp_path_factory.mktemp("planted")
    data = write_planted(directory / "data", train=96, test=60)
    job = job_of(directory / "run", "reward", fixture_model, data, **FAST)
    reward.run(job)
    return job.directory


def test_a_planted_preference_is_learned(planted: Path) -> None:
    metrics = manifest(planted)["metrics"]
    assert metrics["accuracy"]["value"] > 0.9
    assert metrics["accuracy"]["n"] == 60
    assert metrics["accuracy"]["low"] > metrics["accuracy_chance"]["high"]
    assert metrics["accuracy"]["low"] > metrics["accuracy_longer_wins"]["value"]
    assert metrics["margin"]["low"] > 0


def test_on_shuffled_labels_the_accuracy_is_that_of_chance(fixture_model: Path, tmp_path: Path) -> None:
    data = write_planted(tmp_path / "data", train=96, test=60, shuffled=True)
    job = job_of(tmp_path / "run", "reward", fixture_model, data, **FAST)
    reward.run(job)
    accuracy = manifest(job.directory)["metrics"]["accuracy"]
    assert accuracy["low"] < 0.5 < accuracy["high"]


def test_the_artifact_scores_held_out_pairs_as_the_evaluation_did(planted: Path, fixture_model: Path) -> None:
    model = load_reward_model(
        ModelSpec(str(fixture_model), (str(planted / "artifact"),)), cache=planted, device=choose_device()
    )
    tokenizer = AutoTokenizer.from_pretrained(planted / "artifact")
    rows = planted_rows(156)[96:]
    chosen = score(model, tokenizer, [(r["prompt"], r["chosen"][0]["content"]) for r in rows], batch_size=7)
    rejected = score(model, tokenizer, [(r["prompt"], r["rejected"][0]["content"]) for r in rows], batch_size=13)
    margin = sum(c - r for c, r in zip(chosen, rejected, strict=True)) / len(rows)
    assert margin == pytest.approx(manifest(planted)["metrics"]["margin"]["value"], abs=1e-5)


def test_the_manifest_says_what_was_trained_on_what(planted: Path) -> None:
    found = manifest(planted)
    assert (found["kind"], found["task"], found["recipe"]) == ("adapter", "reward", "reward")
    assert found["config"]["learning_rate"] == 0.005
    assert found["data"] == {"train": 96, "test": 60, "test_prompts": 60, "dropped": [], "truncated": 0}
    assert 0 < found["parameters"]["trainable"] < found["parameters"]["total"]
    assert found["lineage"] == {"snapshot": 3}
    stages = [line["stage"] for line in read_lines(planted / "progress.jsonl") if line["kind"] == "status"]
    assert stages == ["loading", "training", "evaluating", "saving"]


def test_full_fine_tuning_learns_too_and_is_saved_as_a_whole_model(fixture_model: Path, tmp_path: Path) -> None:
    data = write_planted(tmp_path / "data", train=96, test=30)
    job = job_of(tmp_path / "run", "reward", fixture_model, data, adapter="full", learning_rate=0.002)
    reward.run(job)
    found = manifest(job.directory)
    assert found["kind"] == "full"
    assert found["parameters"]["trainable"] == found["parameters"]["total"]
    assert found["metrics"]["accuracy"]["value"] > 0.9
    model = load_reward_model(ModelSpec(str(job.directory / "artifact")), cache=tmp_path, device=choose_device())
    assert model.score.out_features == 1


def test_a_tokenizer_that_pads_with_eos_trains_to_the_same_scores(
    planted: Path, fixture_model: Path, tmp_path: Path
) -> None:
    # The same weights: a fixture built with pad = EOS would start with another embedding of EOS.
    model, tokenizer = AutoModelForCausalLM.from_pretrained(fixture_model), AutoTokenizer.from_pretrained(fixture_model)
    tokenizer.pad_token = tokenizer.eos_token
    model.config.pad_token_id = model.generation_config.pad_token_id = tokenizer.eos_token_id
    for part in (model, tokenizer):
        part.save_pretrained(tmp_path / "pads-with-eos")
    data = write_planted(tmp_path / "data", train=96, test=60)
    job = job_of(tmp_path / "run", "reward", tmp_path / "pads-with-eos", data, **FAST)
    reward.run(job)
    assert torch.tensor(curve(job.directory)).allclose(torch.tensor(curve(planted)), atol=1e-5)
    margins = [manifest(directory)["metrics"]["margin"]["value"] for directory in (job.directory, planted)]
    assert margins[0] == pytest.approx(margins[1], abs=1e-4)


def likelihood(model: Any, pad_id: int, **settings: Any) -> Any:
    return preference_likelihood(by_model(model, pad_id), RewardConfig(**settings), 0, None)


def test_the_weight_of_a_pair_scales_its_loss(fixture_model: Path) -> None:
    torch.manual_seed(0)
    model = AutoModelForSequenceClassification.from_pretrained(fixture_model, num_labels=1).eval()
    ids = ([5, 6, 7], [8, 9, 2], [10, 11, 12, 2])
    pairs = [Pair(f"{weight}", [], "", "", *ids, weight=weight) for weight in (1.0, 0.5)]
    losses = likelihood(model, 0)(pairs).losses
    assert losses[1].item() == pytest.approx(losses[0].item() / 2)


def test_the_bradley_terry_loss_is_the_closed_form(fixture_model: Path) -> None:
    torch.manual_seed(0)
    model = AutoModelForSequenceClassification.from_pretrained(fixture_model, num_labels=1).eval()
    model.score.weight.data *= 50  # apart from ln 2
    chosen, rejected = [5, 6, 7, 8, 9, 2], [5, 6, 7, 10, 11, 12, 2]
    outcome = likelihood(model, 0)([Pair("p", [], "", "", chosen[:3], chosen[3:], rejected[3:])])
    with torch.no_grad():
        body = [model.base_model(torch.tensor([ids])).last_hidden_state[0, -1] for ids in (chosen, rejected)]
        high, low = (model.score(state).item() for state in body)
    margin = outcome.metrics["margin"].item()
    assert outcome.losses.item() == pytest.approx(math.log1p(math.exp(-margin)), abs=1e-6)
    # One padded batch against two passes alone: float32 adds up in another order.
    assert margin == pytest.approx(high - low, rel=1e-5, abs=1e-5)


def test_target_layers_that_the_model_does_not_have_are_refused(fixture_model: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(fixture_model)
    with pytest.raises(ModelError, match="no linear layer named c_attn") as caught:
        apply_adapter(model, RewardConfig(targets="q_proj,c_attn"), "policy")
    assert caught.value.code == "bad_config"
    assert "v_proj" in caught.value.hint


def test_only_the_named_layers_get_an_adapter(fixture_model: Path) -> None:
    model = apply_adapter(AutoModelForCausalLM.from_pretrained(fixture_model), RewardConfig(targets="v_proj"), "policy")
    trained = [name for name, weight in model.named_parameters() if weight.requires_grad]
    assert trained
    assert all(".v_proj." in name for name in trained)


def test_a_run_that_changed_no_weight_is_a_failure(fixture_model: Path) -> None:
    model = apply_adapter(AutoModelForCausalLM.from_pretrained(fixture_model), RewardConfig(), "policy")
    before = trainable_hash(model)
    with pytest.raises(ModelError) as caught:
        require_change(model, before)
    assert caught.value.code == "nothing_trained"
    next(weight for weight in model.parameters() if weight.requires_grad).data[0, 0] += 1e-3
    require_change(model, before)


def failure(directory: Path) -> dict[str, str]:
    priority = os.getpriority(os.PRIO_PROCESS, 0)
    assert run.main([str(directory)]) == run.FAILED
    # Only a process that is there for one job takes itself back: see `run.leave`.
    assert os.getpriority(os.PRIO_PROCESS, 0) == priority
    assert not (directory / "artifact").exists()
    return json.loads((directory / "error.json").read_text())


def test_data_without_a_usable_pair_ends_the_run_with_the_reason(fixture_model: Path, tmp_path: Path) -> None:
    data = write_planted(tmp_path / "data", train=0, test=4)
    write_rows(Path(data["train"]), [row("same", "Why?", "Because.", "Because.")])
    told = failure(write_job(tmp_path / "run", "reward", fixture_model, data))
    assert told["code"] == "empty_data"
    assert "chosen and rejected are the same" in told["message"]


def test_a_run_whose_pairs_weigh_nothing_says_that_nothing_was_trained(fixture_model: Path, tmp_path: Path) -> None:
    data = write_planted(tmp_path / "data", train=8, test=4)
    # Above zero, and so no mistake to be dropped; but zero in fp32, and so are all gradients.
    write_rows(Path(data["train"]), [{**pair, "weight": 1e-60} for pair in planted_rows(8)])
    assert failure(write_job(tmp_path / "run", "reward", fixture_model, data))["code"] == "nothing_trained"


def test_weights_that_are_not_numbers_end_the_run_with_nan_loss(fixture_model: Path, tmp_path: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(fixture_model)
    model.model.layers[0].mlp.up_proj.weight.data[0, 0] = math.nan
    model.save_pretrained(tmp_path / "broken")
    AutoTokenizer.from_pretrained(fixture_model).save_pretrained(tmp_path / "broken")
    data = write_planted(tmp_path / "data", train=8, test=4)
    told = failure(write_job(tmp_path / "run", "reward", tmp_path / "broken", data))
    assert told["code"] == "nan_loss"
    assert "p0" in told["message"] or "p1" in told["message"]
    assert "model that it starts from is broken: 1 of its tensors" in told["message"]
    assert "up_proj" in told["message"] and "checkpoint" not in told["message"]
    assert "another model" in told["hint"] and "learning rate" not in told["hint"]


def test_with_too_few_held_out_pairs_the_figures_are_null_with_the_reason(fixture_model: Path, tmp_path: Path) -> None:
    data = write_planted(tmp_path / "data", train=8, test=3)
    job = job_of(tmp_path / "run", "reward", fixture_model, data, **FAST)
    reward.run(job)
    accuracy = manifest(job.directory)["metrics"]["accuracy"]
    assert (accuracy["value"], accuracy["n"]) == (None, 3)
    assert "Only 3 held-out pairs" in accuracy["reason"]


def test_scores_in_a_batch_are_those_of_each_response_alone(fixture_model: Path) -> None:
    torch.manual_seed(0)
    model = AutoModelForSequenceClassification.from_pretrained(fixture_model, num_labels=1).eval()
    pairs = [Pair("a", [], "", "", [5] * 9, [6, 2], [7] * 5 + [2]), Pair("b", [], "", "", [8, 9], [4, 2], [2])]
    chosen, rejected = both_sides(by_model(model, 2), pairs)
    for pair, high, low in zip(pairs, chosen, rejected, strict=True):
        for ids, value in ((pair.chosen_ids, high), (pair.rejected_ids, low)):
            alone = model.score(model.base_model(**vars_of(pad([pair.prompt_ids + ids], 2))).last_hidden_state[0, -1])
            assert value.item() == pytest.approx(alone.item(), abs=1e-5)


def vars_of(batch: Any) -> dict[str, torch.Tensor]:
    return {name: getattr(batch, name) for name in ("input_ids", "attention_mask", "position_ids")}
