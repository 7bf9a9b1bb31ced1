"""Whole policy runs of ours and of TRL's trainers, step by step on the same batches: the same losses."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trl
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl.experimental.cpo import CPOConfig, CPOTrainer
from trl.experimental.orpo import ORPOConfig as TRLORPOConfig
from trl.experimental.orpo import ORPOTrainer

from tests.training.ml.references import reference_of
from tests.training.ml.test_same_as_trl import NEWLINE_BEFORE, quiet
from tests.training.planted import planted_rows, write_rows
from training.ml import dpo, kto, orpo, sft, simpo
from training.ml.chat import completion_ids, prompt_ids
from training.ml.demonstrations import Demonstration
from training.ml.loop import Objective, plan, train
from training.ml.pairs import Pair, read_pairs
from training.ml.progress import Progress, read_lines
from training.ml.token_logps import both_sides
from training.ml.votes import Vote
from training.recipes.dpo import DPOConfig
from training.recipes.kto import KTOConfig
from training.recipes.orpo import ORPOConfig
from training.recipes.sft import SFTConfig
from training.recipes.simpo import SimPOConfig

STEPS = 6
LIKE_TRL = {"adapter": "full", "learning_rate": 0.001, "epochs": 1, "gradient_accumulation": 1, "warmup_ratio": 0.0}


@pytest.fixture
def tokenizer(fixture_model: Path) -> Any:
    found = AutoTokenizer.from_pretrained(fixture_model)
    found.chat_template = NEWLINE_BEFORE
    return found


def fresh(base: Path) -> Any:
    return AutoModelForCausalLM.from_pretrained(base)


def pairs_of(rows: list[dict[str, Any]], tokenizer: Any, directory: Path) -> list[Pair]:
    return read_pairs(write_rows(directory / "train.parquet", rows), tokenizer, 512).kept


def in_our_order(rows: list[Any], items: list[Any], config: Any) -> list[Any]:
    return [rows[i] for step in plan(items, config, seed=0) for batch in step for i in batch]


def our_losses(model: Any, items: list[Any], objective: Objective, config: Any, directory: Path) -> list[float]:
    train(model, items, objective, config, seed=0, directory=directory, progress=Progress(directory))
    lines = read_lines(directory / "progress.jsonl")
    return [line["metrics"]["loss"] for line in lines if line["kind"] == "step"]


def their_losses(trainer: Any) -> list[float]:
    trainer.train()
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


def assert_same(ours: list[float], theirs: list[float]) -> None:
    assert len(theirs) == STEPS
    assert ours == pytest.approx(theirs, abs=1e-4)
    assert min(theirs) < theirs[0] - 0.005


def preference_rows(rows: list[dict[str, Any]]) -> Dataset:
    return Dataset.from_list([{name: row[name] for name in ("prompt", "chosen", "rejected")} for row in rows])


def test_an_sft_run_has_the_losses_of_trl(fixture_model: Path, tokenizer: Any, tmp_path: Path) -> None:
    rows = planted_rows(4 * STEPS)
    items = [
        Demonstration(
            row["id"],
            row["prompt"],
            text := row["chosen"][0]["content"] * (1 + number % 3),
            prompt_ids(tokenizer, row["prompt"]),
            completion_ids(tokenizer, text),
        )
        for number, row in enumerate(rows)
    ]
    config = SFTConfig(**LIKE_TRL)
    model = fresh(fixture_model)
    ours = our_losses(model, items, sft.imitation(model), config, tmp_path)
    dataset = [
        {"prompt": item.prompt, "completion": [{"role": "assistant", "content": item.response}]}
        for item in in_our_order(items, items, config)
    ]
    trainer = trl.SFTTrainer(
        model=fresh(fixture_model),
        args=trl.SFTConfig(**quiet(tmp_path, config)),
        train_dataset=Dataset.from_list(dataset),
        processing_class=tokenizer,
    )
    assert_same(ours, their_losses(trainer))


# TRL's "sigmoid" looks at no label smoothing. Its "aot" does, and on a batch of one pair (nothing to sort) it is cDPO.
DPO_LOSSES = [
    ({}, {"loss_type": ["sigmoid"]}, 4),
    ({"label_smoothing": 0.2}, {"loss_type": ["aot"], "label_smoothing": 0.2}, 1),
    ({"loss": "robust", "label_smoothing": 0.2}, {"loss_type": ["robust"], "label_smoothing": 0.2}, 4),
    ({"loss": "ipo"}, {"loss_type": ["ipo"]}, 4),
    ({"loss": "hinge"}, {"loss_type": ["hinge"]}, 4),
    ({"sft_weight": 0.5}, {"loss_type": ["sigmoid", "sft"], "loss_weights": [1.0, 0.5]}, 4),
    ({"length_alpha": 0.3}, {"loss_type": ["sigmoid"], "ld_alpha": 0.3}, 4),
]


@pytest.mark.parametrize(("ours", "theirs", "size"), DPO_LOSSES)
def test_a_dpo_run_has_the_losses_of_trl(
    ours: dict[str, Any], theirs: dict[str, Any], size: int, fixture_model: Path, tokenizer: Any, tmp_path: Path
) -> None:
    """Full fine-tuning from the same weights, conversations tokenised by each."""
    rows = planted_rows(STEPS * size)
    pairs = pairs_of(rows, tokenizer, tmp_path)
    config = DPOConfig(batch_size=size, **LIKE_TRL, **ours)
    model = fresh(fixture_model)
    objective = dpo.direct_preference(model, reference_of(model, both_sides(pairs), tmp_path), config)
    found = our_losses(model, pairs, objective, config, tmp_path)
    trainer = trl.DPOTrainer(
        model=fresh(fixture_model),
        ref_model=fresh(fixture_model),
        args=trl.DPOConfig(**quiet(tmp_path, config), beta=0.1, **theirs),
        train_dataset=preference_rows(in_our_order(rows, pairs, config)),
        processing_class=tokenizer,
    )
    assert_same(found, their_losses(trainer))


def test_a_kto_run_has_the_losses_of_trl(fixture_model: Path, tokenizer: Any, tmp_path: Path) -> None:
    """Every prompt has one response, so that the mismatched ones are TRL's; two thirds of them are desirable."""
    rows = planted_rows(4 * STEPS)
    sides = ["rejected" if number % 3 == 0 else "chosen" for number in range(len(rows))]
    votes = [
        Vote(
            row["id"],
            prompt_ids(tokenizer, row["prompt"]),
            completion_ids(tokenizer, row[side][0]["content"]),
            side == "chosen",
        )
        for row, side in zip(rows, sides, strict=True)
    ]
    config = replace(KTOConfig(batch_size=4, desirable_weight=0.8, undesirable_weight=1.2), **LIKE_TRL)
    model, start = fresh(fixture_model), fresh(fixture_model).eval()
    reference = reference_of(start, kto.texts(votes), tmp_path)
    objective = kto.unpaired_preference(model, reference, lambda: nullcontext(start), config, 512)
    ours = our_losses(model, votes, objective, config, tmp_path)
    labelled = [
        {"prompt": row["prompt"], "completion": row[side], "label": side == "chosen"}
        for row, side in zip(rows, sides, strict=True)
    ]
    trainer = trl.KTOTrainer(
        model=fresh(fixture_model),
        ref_model=fresh(fixture_model),
        args=trl.KTOConfig(**quiet(tmp_path, config), beta=0.1, desirable_weight=0.8, undesirable_weight=1.2),
        train_dataset=Dataset.from_list(in_our_order(labelled, votes, config)),
        processing_class=tokenizer,
    )
    assert_same(ours, their_losses(trainer))
    kls = [line["metrics"]["kl"] for line in read_lines(tmp_path / "progress.jsonl") if line["kind"] == "step"]
    assert kls[0] == pytest.approx(0.0, abs=1e-5)
    assert max(kls) > 0.1


def test_an_orpo_run_has_the_losses_of_trl(fixture_model: Path, tokenizer: Any, tmp_path: Path) -> None:
    rows = planted_rows(4 * STEPS)
    pairs = pairs_of(rows, tokenizer, tmp_path)
    config = ORPOConfig(batch_size=4, beta=0.5, **LIKE_TRL)
    model = fresh(fixture_model)
    ours = our_losses(model, pairs, orpo.odds_ratio_preference(model, config), config, tmp_path)
    trainer = ORPOTrainer(
        model=fresh(fixture_model),
        args=TRLORPOConfig(**quiet(tmp_path, config), beta=0.5),
        train_dataset=preference_rows(in_our_order(rows, pairs, config)),
        processing_class=tokenizer,
    )
    assert_same(ours, their_losses(trainer))


def test_a_simpo_run_has_the_losses_of_trl(fixture_model: Path, tokenizer: Any, tmp_path: Path) -> None:
    rows = planted_rows(4 * STEPS)
    pairs = pairs_of(rows, tokenizer, tmp_path)
    config = SimPOConfig(batch_size=4, beta=2.0, gamma=0.8, **LIKE_TRL)
    model = fresh(fixture_model)
    ours = our_losses(model, pairs, simpo.simple_preference(model, config), config, tmp_path)
    trainer = CPOTrainer(
        model=fresh(fixture_model),
        args=CPOConfig(**quiet(tmp_path, config), loss_type="simpo", cpo_alpha=0.0, beta=2.0, simpo_gamma=0.8),
        train_dataset=preference_rows(in_our_order(rows, pairs, config)),
        processing_class=tokenizer,
    )
    assert_same(ours, their_losses(trainer))
