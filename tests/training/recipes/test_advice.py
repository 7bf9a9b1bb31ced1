"""The nearest settings that fit: nearer ones come first, and nothing is said to fit only where nothing does."""

from __future__ import annotations

from dataclasses import asdict, replace
from itertools import product
from typing import Any

import pytest

from tests.training.recipes.test_estimate import SIZES
from training.recipes import load
from training.recipes.errors import RecipeError
from training.recipes.estimate import Data, Machine, Question, Speed, nearest_that_fits, read_architecture
from training.recipes.estimate.adapters import methods_for
from training.recipes.estimate.table import estimate

pytestmark = pytest.mark.not_db
LARGE = {"vocab_size": 128256, "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32}
LARGE |= {"model_type": "llama", "num_attention_heads": 32, "num_key_value_heads": 8, "max_position_embeddings": 8192}


def asked(sizes: dict[str, Any], recipe: str, device: str, memory: int) -> Question:
    return Question(read_architecture(sizes), recipe, Machine(device, memory), Data(1000, 0.0), Speed())


def test_an_adapter_with_checkpointing_comes_before_shorter_examples() -> None:
    question = asked(LARGE, "reward", "gpu", 13_000_000_000)
    config = load("reward", {"adapter": "full", "batch_size": 2, "max_length": 4096, "gradient_checkpointing": "off"})
    assert nearest_that_fits(question, config).changed == {
        "batch_size": 1,
        "gradient_accumulation": 2 * config.gradient_accumulation,
        "adapter": "qlora",
        "gradient_checkpointing": "on",
    }


def test_where_lora_fits_with_short_examples_alone_that_is_told() -> None:
    question = asked(LARGE, "ppo", "gpu", 18_641_503_849)
    config = load("ppo", {"adapter": "p_tuning_v2", "batch_size": 3, "gradient_accumulation": 2, "max_length": 2048})
    advised = nearest_that_fits(question, config)
    assert advised is not None and advised.found.fits
    assert (advised.changed["adapter"], advised.changed["max_length"]) == ("lora", 128)


@pytest.mark.parametrize(
    ("recipe", "more", "first"),
    [
        ("dpo", {}, "batch_size"),
        ("dpo", {"sft_weight": 0.1}, "gradient_checkpointing"),
        ("kto", {}, "gradient_checkpointing"),
        ("orpo", {}, "gradient_checkpointing"),
        ("grpo", {}, "batch_size"),
        ("grpo", {"loss_type": "bnpo"}, "gradient_checkpointing"),
    ],
)
def test_a_loss_that_looks_at_the_whole_batch_keeps_it_as_long_as_checkpointing_helps(
    recipe: str, more: dict[str, Any], first: str
) -> None:
    config = load(recipe, {"adapter": "lora", "batch_size": 8, "max_length": 2048, **more})
    config = replace(config, gradient_checkpointing="off")

    def needed(**changed: Any) -> int:
        memory = estimate(asked(LARGE, recipe, "gpu", 2**50), replace(config, **changed)).memory
        return memory.total + memory.heap

    half = {"batch_size": 4, "gradient_accumulation": 2 * config.gradient_accumulation}
    either = max(needed(**half), needed(gradient_checkpointing="on"))
    assert either < needed()
    advised = nearest_that_fits(asked(LARGE, recipe, "gpu", int(1.01 * either)), config)
    assert next(iter(advised.changed)) == first


def test_kto_is_advised_no_batch_that_it_refuses() -> None:
    config = load("kto", {"adapter": "full", "batch_size": 8, "max_length": 512})
    for share in (0.2, 0.4, 0.6, 0.8):
        needed = estimate(asked(SIZES, "kto", "cpu", 2**40), config).memory
        advised = nearest_that_fits(asked(SIZES, "kto", "cpu", int(share * (needed.total + needed.heap))), config)
        assert advised is not None and advised.changed.get("batch_size", 8) >= 2
        assert load("kto", {**asdict(config), **advised.changed}) == advised.found.config


@pytest.mark.parametrize("device", ["cpu", "gpu"])
@pytest.mark.parametrize(("recipe", "adapter"), [("sft", "prefix"), ("ppo", "full"), ("kto", "last_layers")])
@pytest.mark.parametrize("memory", [3_000_000, 7_000_000, 12_000_000])
def test_nothing_is_said_to_fit_only_where_nothing_does(recipe: str, adapter: str, device: str, memory: int) -> None:
    question = asked(SIZES, recipe, device, memory)
    drawn = {"max_new_tokens": 64} if recipe == "ppo" else {}
    config = load(recipe, {"adapter": adapter, "batch_size": 4, "max_length": 256, **drawn})
    advised = nearest_that_fits(question, config)
    assert not estimate(question, config).fits
    fitting = []
    for name, length, twice in product(methods_for(recipe), (256, 128, 64), ("off", "on")):
        for size in (1, 2, 4):
            step = {"batch_size": size, "gradient_accumulation": 4 * config.gradient_accumulation // size}
            more = {"adapter": name, "max_length": length, "gradient_checkpointing": twice, **step}
            try:
                found = estimate(question, load(recipe, {**asdict(config), **more}))
            except RecipeError:
                continue
            fitting += [more] if found.fits and found.memory else []
    assert (advised is None) == (not fitting)
