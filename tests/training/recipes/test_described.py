"""What is told of the settings is what the dataclasses say: in the list, over the API, and in docs/recipes.md."""

import json
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client

from annotate.models import User
from tests.training.recipes.settings_table import DOCUMENT, tables, written
from training.recipes import RECIPES, load
from training.recipes.described import Setting, described, settings_of
from training.recipes.titles import TITLES
from training.workflow.recipe_list import recipe_named


def test_the_document_says_what_the_settings_are() -> None:
    """Write it anew with `python -m tests.training.recipes.settings_table`."""
    document = DOCUMENT.read_text(encoding="utf-8")
    assert written(document) == document
    assert all(f"## {name}: {TITLES[name]}" in document for name in RECIPES)
    assert tables().count("| `beta` |") > 1  # of two recipes that do not stand at one default


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_defaults_that_are_told_are_those_that_are_used(recipe: str) -> None:
    told = {setting.name: setting.default for setting in described()[recipe] if not setting.required}
    used = vars(load(recipe, {}))
    open_ones = {name for name, value in told.items() if value is None}
    assert {name: used[name] for name in told if name not in open_ones} == {
        name: value for name, value in told.items() if name not in open_ones
    }
    assert {setting.name for setting in described()[recipe]} <= set(used)


def find(settings: list[Setting], name: str) -> Setting:
    return next(setting for setting in settings if setting.name == name)


def test_a_setting_tells_its_limits_and_with_what_it_counts() -> None:
    settings = settings_of(RECIPES["reward"])
    margin = find(settings, "margin")
    assert (margin.kind, margin.min, margin.max, margin.counts_with) == ("number", 0.0, 100.0, {"ties": ("drop",)})
    assert find(settings, "head_epochs").counts_with == {"adapter": ("head",)}
    assert find(settings, "ties").choices == ("drop", "davidson", "rao_kupper")


def test_an_open_learning_rate_tells_what_it_stands_for_with_each_adapter() -> None:
    rate = find(settings_of(RECIPES["reward"]), "learning_rate")
    assert rate.default is None and rate.nullable and "head" not in rate.customary
    for name, value in rate.customary.items():
        assert load("reward", {"adapter": name}).learning_rate == value
    assert f"Customary: lora {rate.customary['lora']:g}, full" in printed("reward")


def test_a_setting_that_a_recipe_has_fixed_is_not_told() -> None:
    """A member of the ensemble is a LoRA: `ensemble_of` stands open for it alone."""
    fixed = [
        (recipe, field.name)
        for recipe, config in RECIPES.items()
        for field in config.__dataclass_fields__.values()
        if "only" in field.metadata and not field.metadata["only"]
    ]
    told = {(recipe, setting.name) for recipe, settings in described().items() for setting in settings}
    assert fixed and not told & set(fixed)


def printed(*arguments: str) -> str:
    out = StringIO()
    call_command("recipe", *arguments, stdout=out)
    return out.getvalue()


def test_the_command_lists_recipes_and_settings() -> None:
    assert all(f"{name} " in printed() for name in RECIPES)
    assert "beta=0.1  (Beta; number, 0.0001 – 100.0)" in printed("dpo")
    assert "soft_labels=false" in printed("dpo")
    assert json.loads(printed("dpo", "--json")) == json.loads(json.dumps(recipe_named("dpo")))
    with pytest.raises(CommandError, match="The recipes are: sample, sft"):
        printed("nope")


@pytest.mark.django_db
def test_the_api_tells_whoever_has_signed_in(client: Client, ann: User) -> None:
    assert client.get("/api/v1/recipes/").status_code in (401, 403)
    client.force_login(ann)
    assert [row["name"] for row in client.get("/api/v1/recipes/").json()["results"]] == list(RECIPES)
    told: dict[str, Any] = client.get("/api/v1/recipes/dpo/", headers={"Accept-Language": "zh-hans"}).json()
    loss = next(row for row in told["settings"] if row["name"] == "schedule")
    assert loss["choices"][0] == {"value": "linear", "label": "线性"} and loss["label"] != "Decay"
    wrong = client.get("/api/v1/recipes/nope/")
    assert (wrong.status_code, wrong.json()["code"]) == (404, "NoSuchRow") and "grpo" in wrong.json()["detail"]
