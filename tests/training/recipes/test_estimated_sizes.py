"""What a config.json says of sizes: what is refused, and how much work an answer is."""

from __future__ import annotations

from typing import Any

import pytest

from tests.training.recipes.test_estimate import SIZES
from training.recipes import load
from training.recipes.errors import RecipeError
from training.recipes.estimate import read_architecture
from training.recipes.estimate.adapters import targeted

pytestmark = pytest.mark.not_db
ALBERT = {**SIZES, "model_type": "albert"}


@pytest.mark.parametrize("name", ["inner_group_num", "num_hidden_groups"])
@pytest.mark.parametrize("number", [2_000_000_000, 1_000_000])
def test_more_layers_than_any_model_has_are_refused_before_they_are_counted(name: str, number: int) -> None:
    with pytest.raises(RecipeError, match=name):
        read_architecture({**ALBERT, name: number})


def test_more_groups_of_layers_than_layers_are_refused() -> None:
    assert read_architecture({**ALBERT, "num_hidden_groups": 6}).blocks == 6
    with pytest.raises(RecipeError, match="7 groups of layers to 6 layers"):
        read_architecture({**ALBERT, "num_hidden_groups": 7})


def test_layers_of_one_kind_are_counted_and_not_gone_through() -> None:
    """Or a model of 4,096 layers took seconds an answer."""
    model = read_architecture({**SIZES, "num_hidden_layers": 4096})
    assert set(targeted(model, load("sft", {})).values()) == {4096}
    assert len(list(model.counted_linears())) == len(model.linears)


@pytest.mark.parametrize("sizes", [{"decoder_sparse_step": 2}, {"mlp_only_layers": [0]}])
def test_a_mixture_in_some_layers_alone_is_refused_with_the_experts_that_it_has(sizes: dict[str, Any]) -> None:
    with pytest.raises(RecipeError, match=r"mixtures of experts \(1\)"):
        read_architecture({**SIZES, "model_type": "qwen3_moe", "num_experts": 1, **sizes})


@pytest.mark.parametrize("value", ["0.1", True, -0.1, 2])
def test_a_dropout_that_is_no_share_is_refused(value: Any) -> None:
    with pytest.raises(RecipeError, match="attention_dropout"):
        read_architecture({**SIZES, "attention_dropout": value})
