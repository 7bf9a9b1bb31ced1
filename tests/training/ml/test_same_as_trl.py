"""Whole runs of ours and of TRL's trainers, step by step: the same losses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import trl
from datasets import Dataset
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from tests.training.ml.jobs import curve
from tests.training.planted import planted_rows, write_rows
from training.ml.loop import plan, train
from training.ml.pairs import read_pairs
from training.ml.progress import Progress
from training.ml.reward_objective import by_model, preference_likelihood
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


# Ours, TRL's, and the strength of a pair, which is TRL's margin where ours is asked for.
OPTIONS = {
    "plain": ({}, {}),
    "margin": ({"margin": 1.0}, {}),
    "centring": ({"centring": 0.05}, {"center_rewards_coefficient": 0.05}),
    "both": ({"margin": 1.0, "centring": 0.05}, {"center_rewards_coefficient": 0.05}),
}


@pytest.mark.parametrize("option", OPTIONS)
def test_a_reward_run_has_the_losses_of_trl(option: str, fixture_model: Path, tmp_path: Path) -> None:
    """Seven steps of full fine-tuning on the same batches from the same weights, conversations tokenised by each."""
    mine, yours = OPTIONS[option]
    tokenizer = AutoTokenizer.from_pretrained(fixture_model)
    tokenizer.chat_template = NEWLINE_BEFORE
    rows = [{**row, "strength": number % 5 / 4} for number, row in enumerate(planted_rows(28))]
    pairs = read_pairs(write_rows(tmp_path / "train.parquet", rows), tokenizer, 512).kept
    settings = {"adapter": "full", "learning_rate": 0.002, "batch_size": 4, "gradient_accumulation": 1}
    config = RewardConfig(**settings, warmup_ratio=0.0, **mine)
    order = [position for step in plan(pairs, config, seed=0) for batch in step for position in batch]

    def fresh() -> Any:
        torch.manual_seed(7)
        return AutoModelForSequenceClassification.from_pretrained(fixture_model, num_labels=1)

    ours = fresh()
    objective = preference_likelihood(by_model(ours, tokenizer.pad_token_id), config, 0, None)
    train(ours, pairs, objective, config, seed=0, directory=tmp_path, progress=Progress(tmp_path))

    columns = {"prompt": "prompt", "chosen": "chosen", "rejected": "rejected"}
    columns |= {"margin": "strength"} if "margin" in mine else {}
    trainer = trl.RewardTrainer(
        model=fresh(),
        args=trl.RewardConfig(**quiet(tmp_path, config), **yours),
        train_dataset=Dataset.from_list([{name: rows[i][ours] for name, ours in columns.items()} for i in order]),
        processing_class=tokenizer,
    )
    trainer.train()
    theirs = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    assert len(theirs) == 7
    assert [point[1] for point in curve(tmp_path)] == pytest.approx(theirs, abs=1e-4)
    assert theirs[-1] < (0.5 if option == "plain" else 0.9)
