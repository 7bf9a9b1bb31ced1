"""The recipe "dpo": what it learns, that its loss is TRL's, that its reference stays where it was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
import torch
from transformers import AutoTokenizer

from tests.training.ml.jobs import curve, job_of, manifest
from tests.training.planted import planted_rows, write_planted, write_rows
from training.ml import dpo
from training.ml.adapters import adapter_off, apply_adapter
from training.ml.chat import prompt_ids
from training.ml.device import choose_device
from training.ml.evaluate import response_logps
from training.ml.job import ModelSpec
from training.ml.load import load_policy
from training.ml.logprobs import completion_logps
from training.ml.pairs import Pair, read_pairs
from training.ml.progress import read_lines
from training.recipes.dpo import DPOConfig

FAST = {"learning_rate": 0.004, "rank": 8}


@pytest.fixture(scope="module")
def planted(fixture_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run on the planted preference."""
    directory = tmp_path_factory.mktemp("planted")
    data = write_planted(directory / "data", train=96, test=40)
    job = job_of(directory / "run", "dpo", fixture_model, data, **FAST)
    dpo.run(job)
    return job.directory


def policy(base: Path, *adapters: Path) -> Any:
    spec = ModelSpec(str(base), tuple(str(path) for path in adapters))
    return load_policy(spec, cache=base, device=choose_device())


def test_the_margin_on_held_out_pairs_rises_clearly_above_zero(planted: Path) -> None:
    metrics = manifest(planted)["metrics"]
    assert metrics["margin"]["low"] > 0.3
    assert metrics["margin"]["n"] == 40
    assert metrics["accuracy"]["low"] > 0.8
    assert metrics["loss"]["high"] < 0.6
    assert 0 < metrics["kl"]["low"] < metrics["kl"]["value"]


def test_the_policy_begins_with_first_more_often_than_before(planted: Path, fixture_model: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(fixture_model)
    prompts = [prompt_ids(tokenizer, row["prompt"]) for row in planted_rows(136)[96:]]

    def log_chance(model: Any, words: str) -> float:
        ids = tokenizer.encode(words, add_special_tokens=False)
        with torch.no_grad():
            return completion_logps(model, [(prompt, ids) for prompt in prompts]).mean().item()

    old, new = policy(fixture_model), policy(fixture_model, planted / "artifact")
    assert log_chance(new, "First,") > log_chance(old, "First,") + 0.5
    assert log_chance(new, "You could") < log_chance(old, "You could")


def test_on_shuffled_labels_the_accuracy_is_that_of_chance(fixture_model: Path, tmp_path: Path) -> None:
    data = write_planted(tmp_path / "data", train=96, test=40, shuffled=True)
    job = job_of(tmp_path / "run", "dpo", fixture_model, data, **FAST)
    dpo.run(job)
    metrics = manifest(job.directory)["metrics"]
    assert metrics["accuracy"]["low"] < 0.5 < metrics["accuracy"]["high"]
    assert metrics["margin"]["low"] < 0.1


def test_three_held_out_prompts_are_answered_by_old_and_new(planted: Path, fixture_model: Path) -> None:
    samples = manifest(planted)["metrics"]["samples"]
    assert [sample["prompt"] for sample in samples] == [row["prompt"] for row in planted_rows(99)[96:]]
    assert all(sample["old"] and sample["new"] for sample in samples)
    assert [sample["old"] for sample in samples] != [sample["new"] for sample in samples]


def test_the_first_step_starts_at_the_reference(planted: Path) -> None:
    assert curve(planted)[0][1] == pytest.approx(0.6931472, abs=1e-5)
    assert curve(planted)[0][2] == pytest.approx(0.0, abs=1e-4)


def test_the_reference_is_computed_once_and_kept_in_the_directory(planted: Path, fixture_model: Path) -> None:
    table = pyarrow.parquet.read_table(planted / "reference.parquet").to_pydict()
    assert table["id"] == [f"p{number}" for number in range(96)]
    tokenizer = AutoTokenizer.from_pretrained(fixture_model)
    rows = write_rows(planted.parent / "again" / "train.parquet", planted_rows(96))
    fresh = response_logps(policy(fixture_model), read_pairs(rows, tokenizer, 512).kept, 5)
    assert table["chosen"] == pytest.approx([fresh[name][0] for name in table["id"]], abs=1e-3)
    assert table["rejected"] == pytest.approx([fresh[name][1] for name in table["id"]], abs=1e-3)


def test_with_the_adapter_off_the_policy_is_its_start(planted: Path, fixture_model: Path) -> None:
    start = policy(fixture_model)
    model = apply_adapter(policy(fixture_model), DPOConfig(**FAST), "policy")
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            weight.data.normal_()
    sequences = [([5, 6, 7], [8, 9, 2]), ([5], [10, 11, 12, 2])]
    with torch.no_grad():
        moved, before = completion_logps(model, sequences), completion_logps(start, sequences)
        with adapter_off(model) as frozen:
            off = completion_logps(frozen, sequences)
    assert torch.allclose(off, before, atol=1e-5)
    assert not torch.allclose(moved, before, atol=0.1)


def test_full_fine_tuning_moves_the_policy_against_a_reloaded_reference(fixture_model: Path, tmp_path: Path) -> None:
    data = write_planted(tmp_path / "data", train=64, test=20)
    job = job_of(tmp_path / "run", "dpo", fixture_model, data, adapter="full", learning_rate=0.0005)
    dpo.run(job)
    found = manifest(job.directory)
    assert found["kind"] == "full"
    assert found["metrics"]["margin"]["low"] > 0.1
    assert found["metrics"]["kl"]["low"] > 0
    reloaded = policy(job.directory / "artifact")
    assert reloaded.lm_head.weight.data_ptr() == reloaded.model.embed_tokens.weight.data_ptr()


def test_a_second_round_trains_on_top_of_the_first_ones_adapter(
    planted: Path, fixture_model: Path, tmp_path: Path
) -> None:
    """The start of the second is the end of the first: its reference, and the loss of its first step, say so."""
    data = write_planted(tmp_path / "data", train=8, test=6)
    first = str(planted / "artifact")
    job = job_of(tmp_path / "run", "dpo", fixture_model, data, adapters=(first,), **FAST)
    dpo.run(job)
    assert curve(job.directory)[0][1] == pytest.approx(0.6931472, abs=1e-5)
    assert manifest(job.directory)["model"]["adapters"] == [first]
    sequences = [([5, 6, 7], [8, 9, 2])]
    with torch.no_grad():
        one = completion_logps(policy(fixture_model, planted / "artifact"), sequences)
        both = completion_logps(policy(fixture_model, planted / "artifact", job.directory / "artifact"), sequences)
    assert 1e-4 < (both - one).abs().item() < 1.0


def test_the_loss_is_the_closed_form_with_and_without_label_smoothing() -> None:
    """Log-probabilities of four pairs; the losses were computed in float64 by an independent program."""
    chosen, rejected = torch.tensor([-12.5, -40.0, -8.25, -100.0]), torch.tensor([-14.0, -35.5, -8.25, -90.0])
    reference = torch.tensor([-13.0, -39.0, -9.0, -101.0]) - torch.tensor([-13.5, -37.0, -7.5, -95.0])
    margin = 0.1 * ((chosen - rejected) - reference)
    assert dpo.dpo_loss(margin, 0.0).tolist() == pytest.approx([0.644397, 0.825939, 0.620957, 0.913015], abs=1e-6)
    assert dpo.dpo_loss(margin, 0.1).tolist() == pytest.approx([0.654397, 0.800939, 0.635957, 0.873015], abs=1e-6)


def test_the_weight_of_a_pair_scales_its_loss(fixture_model: Path) -> None:
    pairs = [Pair(name, [], "", "", [5, 6], [7, 2], [8, 9, 2], weight=w) for name, w in (("a", 1.0), ("b", 0.25))]
    reference = {"a": (-9.0, -14.0), "b": (-9.0, -14.0)}
    losses = dpo.direct_preference(policy(fixture_model), reference, DPOConfig())(pairs).losses
    assert losses[1].item() == pytest.approx(losses[0].item() / 4)


def test_a_completion_has_the_same_probability_in_any_batch(fixture_model: Path) -> None:
    model = policy(fixture_model)
    sequences = [([5] * 20, [6, 2]), ([7, 8], [9] * 12 + [2]), ([4], [2])]
    with torch.no_grad():
        together = completion_logps(model, sequences)
        for (prompt, completion), value in zip(sequences, together, strict=True):
            ids = torch.tensor([prompt + completion])
            chances = model(ids).logits[0, :-1].log_softmax(dim=-1).gather(1, ids[0, 1:, None])[:, 0]
            assert value.item() == pytest.approx(chances[len(prompt) - 1 :].sum().item(), abs=1e-4)


def test_the_stages_of_a_run_are_told_in_order(planted: Path) -> None:
    stages = [line["stage"] for line in read_lines(planted / "progress.jsonl") if line["kind"] == "status"]
    assert stages == ["loading", "evaluating", "training", "evaluating", "saving"]
