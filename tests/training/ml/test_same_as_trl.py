"""Whole runs of ours and of TRL's trainers, step by step: the same losses."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import trl
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

from tests.training.ml.jobs import curve
from tests.training.planted import planted_rows, write_rows
from training.ml import dpo, reward
from training.ml.evaluate import response_logps
from training.ml.loop import plan, train
from training.ml.pairs import read_pairs
from training.ml.progress import Progress
from training.recipes.dpo import DPOConfig
from training.recipes.optimizer import OptimizerConfig
from training.recipes.reward import RewardConfig

# Like the fixture's template, but with the newline before a turn: TRL takes everything after the response for a part of
# it, and our completions end with EOS.
NEWLINE_BEFORE = (
    "{% for message in messages %}{% if not loop.first %}\n{% endif %}"
    "<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>{% endfor %}"
    "{% if add_generation_prompt %}\n<|im_start|>assistant\n{% endif %}"
)


def quiet(directory: Path, config: OptimizerConfig) -> dict[str, Any]:
    """fp32, the data in the order given, a log line for each step."""
    return {
        "output_dir": str(directory / "trl"),
        "use_cpu": True,
        "bf16": False,
        "gradient_checkpointing": False,
        "report_to": [],
        "save_strategy": "no",
        "disable_tqdm": True,
        "logging_steps": 1,
        "train_sampling_strategy": "sequential",
        "num_train_epochs": config.epochs,
        "per_device_train_batch_size": config.batch_size,
        "learning_rate": config.learning_rate,
        "lr_scheduler_type": "linear",
        "warmup_steps": 0,
        "max_grad_norm": config.max_grad_norm,
        "max_length": config.max_length,
        "seed": 0,
    }


def test_a_reward_run_has_the_losses_of_trl(fixture_model: Path, tmp_path: Path) -> None:
    """Seven steps of full fine-tuning on the same batches from the same weights, conversations tokenised by each."""
    tokenizer = AutoTokenizer.from_pretrained(fixture_model)
    tokenizer.chat_template = NEWLINE_BEFORE
    rows = planted_rows(28)
    pairs = read_pairs(write_rows(tmp_path / "train.parquet", rows), tokenizer, 512).kept
    config = RewardConfig(adapter="full", learning_rate=0.002, batch_size=4, gradient_accumulation=1, warmup_ratio=0.0)
    order = [position for step in plan(pairs, config, seed=0) for batch in step for position in batch]

    def fresh() -> Any:
        torch.manual_seed(7)
        return AutoModelForSequenceClassification.from_pretrained(fixture_model, num_labels=1)

    ours = fresh()
    objective = reward.bradley_terry(ours, tokenizer.pad_token_id)
    train(ours, pairs, objective, config, seed=0, directory=tmp_path, progress=Progress(tmp_path))

    dataset = Dataset.from_list([{name: rows[i][name] for name in ("prompt", "chosen", "rejected")} for i in order])
    trainer = trl.RewardTrainer(
        model=fresh(),
        args=trl.RewardConfig(**quiet(tmp_path, config)),
        train_dataset=dataset,
        processing_class=tokenizer,
    )
    trainer.train()
    theirs = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    assert len(theirs) == 7
    assert [point[1] for point in curve(tmp_path)] == pytest.approx(theirs, abs=1e-4)
    assert theirs[-1] < 0.5


# TRL's "sigmoid" looks at no label smoothing. Its "aot" does, and on a batch of one pair (nothing to sort) it is cDPO.
@pytest.mark.parametrize(("label_smoothing", "loss_type", "size"), [(0.0, "sigmoid", 4), (0.2, "aot", 1)])
def test_a_dpo_run_has_the_losses_of_trl(
    fixture_model: Path, tmp_path: Path, label_smoothing: float, loss_type: str, size: int
) -> None:
    """Six steps of full fine-tuning on the same batches from the same weights, conversations tokenised by each."""
    tokenizer = AutoTokenizer.from_pretrained(fixture_model)
    tokenizer.chat_template = NEWLINE_BEFORE
    rows = planted_rows(6 * size)
    pairs = read_pairs(write_rows(tmp_path / "train.parquet", rows), tokenizer, 512).kept
    config = DPOConfig(adapter="full", learning_rate=0.001, batch_size=size, gradient_accumulation=1, warmup_ratio=0.0)
    config = replace(config, label_smoothing=label_smoothing)
    order = [position for step in plan(pairs, config, seed=0) for batch in step for position in batch]

    ours = AutoModelForCausalLM.from_pretrained(fixture_model)
    objective = dpo.direct_preference(ours, response_logps(ours, pairs, 4), config)
    train(ours, pairs, objective, config, seed=0, directory=tmp_path, progress=Progress(tmp_path))

    dataset = Dataset.from_list([{name: rows[i][name] for name in ("prompt", "chosen", "rejected")} for i in order])
    trainer = trl.DPOTrainer(
        model=AutoModelForCausalLM.from_pretrained(fixture_model),
        ref_model=AutoModelForCausalLM.from_pretrained(fixture_model),
        args=trl.DPOConfig(**quiet(tmp_path, config), beta=0.1, loss_type=[loss_type], label_smoothing=label_smoothing),
        train_dataset=dataset,
        processing_class=tokenizer,
    )
    trainer.train()
    theirs = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    assert len(theirs) == 6
    assert [point[1] for point in curve(tmp_path)] == pytest.approx(theirs, abs=1e-4)
    assert min(theirs) < 0.67
