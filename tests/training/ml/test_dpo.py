"""The recipe "dpo": what it learns, that its loss is TRL's, that its reference stays where it was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from tests.training.ml.architectures import build_architecture
from tests.training.ml.completion_logps import completion_logps
from tests.training.ml.jobs import curve, job_of, manifest
from tests.training.ml.references import reference_of
from tests.training.planted import planted_rows, write_planted, write_rows
from training.ml import dpo
from training.ml.adapters import adapter_off, apply_adapter
from training.ml.chat import prompt_ids
from training.ml.device import choose_device
from training.ml.job import ModelSpec
from training.ml.load import load_policy
from training.ml.pairs import Pair, read_pairs
from training.ml.progress import Progress, read_lines
from training.ml.reference import Reference, frozen_logps, model_key
from training.ml.token_logps import both_sides
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


def gpt2(folder: Path, context: int, dropout: float) -> Path:
    """With learned positions, of which there are as many as the context is long."""
    build_architecture("gpt2", folder)
    config = AutoConfig.from_pretrained(folder, n_positions=context)
    config.attn_pdrop = config.embd_pdrop = config.resid_pdrop = dropout
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    return folder


def test_answers_end_with_the_context(tmp_path: Path) -> None:
    """Held-out prompts leave room for their own responses, and less than an answer takes; one leaves none."""
    data = write_planted(tmp_path / "data", train=6, test=6)
    model = gpt2(tmp_path / "model", 200, 0.0)
    tokenizer = AutoTokenizer.from_pretrained(model)
    longest = max(pair.length for pair in read_pairs(Path(data["test"]), tokenizer, 1000).kept)
    short = gpt2(tmp_path / "short", longest, 0.0)
    job = job_of(tmp_path / "run", "dpo", short, data, **FAST)
    dpo.run(job)
    samples = manifest(job.directory)["metrics"]["samples"]
    assert len(samples) == 3 and all(sample["new"] for sample in samples)


def test_the_models_own_dropout_is_off_as_in_its_reference(tmp_path: Path) -> None:
    """Where nothing is learned, the loss is log 2 and no response is the likelier one."""
    data = write_planted(tmp_path / "data", train=12, test=2)
    job = job_of(tmp_path / "run", "dpo", gpt2(tmp_path / "model", 512, 0.3), data, **{**FAST, "learning_rate": 1e-8})
    dpo.run(job)
    losses = [loss for _, loss, _, _ in curve(job.directory)]
    assert losses and losses == pytest.approx([0.6931472] * len(losses), abs=1e-4)


def test_the_first_step_starts_at_the_reference(planted: Path) -> None:
    assert curve(planted)[0][1] == pytest.approx(0.6931472, abs=1e-5)
    assert curve(planted)[0][2] == pytest.approx(0.0, abs=1e-4)


def test_the_reference_is_the_policy_as_it_was_before(planted: Path, fixture_model: Path) -> None:
    found = manifest(planted)
    assert found["reference"] == {"computed": 2 * 136, "reused": 0, "moved_at_start": False}
    tokenizer = AutoTokenizer.from_pretrained(fixture_model)
    pairs = read_pairs(write_rows(planted.parent / "again" / "train.parquet", planted_rows(96)), tokenizer, 512).kept
    start = policy(fixture_model)
    stored = Reference(planted.parent / "cache", model_key(start, tokenizer, DPOConfig(**FAST)))
    stored.prepare(start, both_sides(pairs), 5, Progress(planted.parent))
    assert stored.counts == {"computed": 0, "reused": 192}
    fresh = frozen_logps(start, both_sides(pairs))
    for old, new in zip(stored.of(both_sides(pairs), torch.device("cpu")), fresh, strict=True):
        assert torch.allclose(old, new, atol=1e-4)


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


# Log-ratios of the tokens of two pairs: sums 0.6 and -0.3, means 0.2 and -0.15; the first pair's chosen is longer.
CHOSEN = [torch.tensor([0.5, -0.1, 0.2]), torch.tensor([-0.4, 0.1])]
REJECTED = [torch.tensor([0.1, -0.3]), torch.tensor([0.6, 0.2, 0.1])]


@pytest.mark.parametrize(
    ("chosen_loss", "expected"),
    [
        # margins beta * (0.6 - -0.2) = 0.4 and beta * (-0.3 - 0.9) = -0.6 for beta 0.5
        ({}, [0.513015252, 1.037487951]),
        ({"label_smoothing": 0.1}, [0.553015252, 0.977487951]),
        ({"loss": "robust", "label_smoothing": 0.1}, [0.463015252, 1.112487951]),
        ({"loss": "hinge"}, [0.6, 1.6]),
        # means 0.2 - -0.1 = 0.3 and -0.15 - 0.3 = -0.45; 1 / (2 beta) = 1
        ({"loss": "ipo"}, [0.49, 2.1025]),
        # the third tokens count half: sums 0.5 and -0.3 against -0.2 and 0.85; margins 0.35 and -0.575
        ({"length_alpha": 0.5}, [0.533382155, 1.021418210]),
        # 0.75 of the votes for the first: 0.75 * 0.513015252 + 0.25 * 0.913015252; the second is even
        ({"soft_labels": True}, [0.613015252, 0.737487951]),
    ],
)
def test_the_losses_are_the_closed_form_over_the_tokens_ratios(
    chosen_loss: dict[str, Any], expected: list[float]
) -> None:
    labels = [0.75, 0.5] if "soft_labels" in chosen_loss else [1.0, 1.0]
    losses, margin = dpo.judge(CHOSEN, REJECTED, labels, DPOConfig(beta=0.5, **chosen_loss))
    assert losses.tolist() == pytest.approx(expected, abs=1e-6)
    assert margin.tolist() == pytest.approx([0.35, -0.575] if "length_alpha" in chosen_loss else [0.4, -0.6], abs=1e-6)


def pairs_of_two_lengths(**second: Any) -> list[Pair]:
    return [
        Pair("a", [], "", "", [5, 6], [7, 2], [8, 9, 2]),
        Pair("b", [], "", "", [5, 6], [7, 2], [8, 9, 2], **second),
    ]


def losses_of(model: Any, pairs: list[Pair], directory: Path, **settings: Any) -> list[float]:
    reference = reference_of(model, both_sides(pairs), directory)
    return dpo.direct_preference(model, reference, DPOConfig(**settings))(pairs).losses.tolist()


def test_the_weight_of_a_pair_scales_its_loss(fixture_model: Path, tmp_path: Path) -> None:
    losses = losses_of(policy(fixture_model), pairs_of_two_lengths(weight=0.25), tmp_path)
    assert losses[1] == pytest.approx(losses[0] / 4)


def test_soft_labels_are_read_from_the_pairs_and_only_where_asked_for(fixture_model: Path, tmp_path: Path) -> None:
    model, pairs = policy(fixture_model), pairs_of_two_lengths(soft_label=0.5)
    assert losses_of(model, pairs, tmp_path, loss="hinge") == pytest.approx([1.0, 1.0], abs=1e-5)
    # Once the policy leans one way, hinge tells by how much; an even vote costs 1 whichever way it leans.
    reference = reference_of(model, both_sides(pairs), tmp_path)
    torch.manual_seed(1)
    for weight in model.parameters():
        weight.data += 0.05 * torch.randn_like(weight)
    hard, soft = (
        dpo.direct_preference(model, reference, DPOConfig(loss="hinge", soft_labels=asked))(pairs).losses.tolist()
        for asked in (False, True)
    )
    assert hard[0] == hard[1] == soft[0] != pytest.approx(1.0, abs=0.02)
    assert soft[1] == pytest.approx(1.0, abs=1e-5)


def test_the_imitation_term_is_the_mean_over_the_chosen_tokens(fixture_model: Path, tmp_path: Path) -> None:
    model, pairs = policy(fixture_model), pairs_of_two_lengths()
    plain, more = losses_of(model, pairs, tmp_path), losses_of(model, pairs, tmp_path, sft_weight=2.0)
    with torch.no_grad():
        mean = completion_logps(model, [([5, 6], [7, 2])]).item() / 2
    assert sum(more) / 2 - sum(plain) / 2 == pytest.approx(-2.0 * mean, abs=1e-4)


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
    assert stages == ["loading", "evaluating", "training", "evaluating", "evaluating", "saving"]
