"""The learning rate that was left open is the customary one of the adapter; one that was given is used as it is."""

import dataclasses
import re

import pytest
from django.conf import settings

from training.recipes import RECIPES, UNTRAINED, load
from training.recipes.adapters import HIGHEST_RATE, METHODS, RATES, customary_rate

TRAINING = sorted(set(RECIPES) - set(UNTRAINED))


@pytest.mark.parametrize("recipe", TRAINING)
def test_every_adapter_of_every_recipe_has_its_multiple_of_loras_rate(recipe: str) -> None:
    of_lora = load(recipe, {"adapter": "lora"}).learning_rate
    assert of_lora > 0
    for adapter in METHODS:
        for left_open in ({}, {"learning_rate": None}):
            found = load(recipe, {"adapter": adapter, **left_open}).learning_rate
            assert found == pytest.approx(of_lora * RATES.get(adapter, 1)), adapter
    assert load(recipe, {"adapter": "full"}).learning_rate == pytest.approx(of_lora / 10)


@pytest.mark.parametrize("recipe", TRAINING)
@pytest.mark.parametrize("adapter", ["full", "lora", "prompt_tuning"])
def test_a_rate_that_was_given_is_never_touched(recipe: str, adapter: str) -> None:
    of_lora = load(recipe, {}).learning_rate
    for given in (of_lora, 0.7):
        assert load(recipe, {"adapter": adapter, "learning_rate": given}).learning_rate == given
    settled = dataclasses.asdict(load(recipe, {"adapter": adapter}))
    assert load(recipe, settled) == load(recipe, {"adapter": adapter}), "as job.json has it"


def test_the_score_head_has_a_rate_of_its_own() -> None:
    config = load("reward", {"adapter": "head"})
    assert config.head_learning_rate == 3e-3 and load("reward", {"adapter": "full"}).head_learning_rate == 3e-3


def test_no_customary_rate_goes_beyond_the_highest_unless_loras_did() -> None:
    assert customary_rate(0.01, "prompt_tuning") == HIGHEST_RATE
    assert customary_rate(0.5, "lora") == 0.5 and customary_rate(0.5, "ia3") == 0.5


def test_the_documented_table_is_what_is_used() -> None:
    text = (settings.BASE_DIR / "docs" / "adapters.md").read_text()
    table = text.partition("## Learning rates")[2].partition("\n\nNone of it")[0]
    head, _line, *rows = [line.strip("| ").split(" | ") for line in table.splitlines() if line.startswith("|")]
    of = {at: re.findall(r"`(\w+)`", cell) for at, cell in enumerate(head) if "`" in cell}
    assert sorted(recipe for names in of.values() for recipe in names) == TRAINING
    told = {name: row for row in rows for name in re.findall(r"`(\w+)`", row[0])}
    assert set(told) == set(METHODS)
    for adapter, row in told.items():
        assert float(row[1]) == RATES.get(adapter, 1)
        for at, recipes in of.items():
            found = {load(recipe, {"adapter": adapter}).learning_rate for recipe in recipes}
            assert found == {float(row[at])}, (adapter, recipes)
