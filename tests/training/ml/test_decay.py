"""What weight decay pulls at: matrices that change nothing at 0, and no factor that changes nothing at 1."""

from __future__ import annotations

from pathlib import Path

import torch

from tests.training.ml.playground import fixture_policy
from training.ml.adapters import apply_adapter
from training.ml.optimizer import adamw
from training.recipes.dpo import DPOConfig


def test_factors_of_ia3_stay_at_one_where_nothing_pulls_but_the_decay(fixture_model: Path) -> None:
    config = DPOConfig(adapter="ia3", weight_decay=0.1, learning_rate=0.003)
    model = apply_adapter(fixture_policy(fixture_model), config, "policy")
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    assert weights and all(weight.dim() == 2 for weight in weights)
    optimizer = adamw(model, config)
    for _ in range(50):
        for weight in weights:
            weight.grad = torch.zeros_like(weight)
        optimizer.step()
    assert all(torch.equal(weight, torch.ones_like(weight)) for weight in weights)


def test_matrices_of_one_row_still_decay(fixture_model: Path) -> None:
    """A LoRA of rank 1 has one dimension of 1 on either side, and is as much a matrix as one of rank 2."""
    config = DPOConfig(adapter="lora", rank=1, weight_decay=0.1)
    model = apply_adapter(fixture_policy(fixture_model), config, "policy")
    assert [group["weight_decay"] for group in adamw(model, config).param_groups] == [0.1]


def test_without_decay_the_optimizer_is_ordered_as_older_checkpoints_are(fixture_model: Path) -> None:
    config = DPOConfig(adapter="ia3")
    model = apply_adapter(fixture_policy(fixture_model), config, "policy")
    matrices = [weight for weight in model.parameters() if weight.requires_grad and weight.dim() > 1]
    first = adamw(model, config).param_groups[0]["params"]
    assert [id(weight) for weight in first] == [id(weight) for weight in matrices]
