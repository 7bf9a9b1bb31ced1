"""Forms made from the recipes' dataclasses."""

from dataclasses import fields

import pytest

from training.forms import RecipeForm
from training.recipes import RECIPES, load


@pytest.mark.parametrize("recipe", sorted(RECIPES))
def test_a_form_sent_back_as_it_came_gives_the_recipes_own_defaults(recipe: str) -> None:
    fresh = RecipeForm(recipe)
    sent = {
        field.html_name: field.value() for field in fresh if field.value() is not None and field.value() is not False
    }
    form = RecipeForm(recipe, sent)
    assert form.is_valid(), form.errors
    assert load(recipe, form.config) == load(recipe, {})


@pytest.mark.parametrize("recipe", sorted(RECIPES))
def test_every_setting_has_a_label_and_a_help_text_and_stands_in_one_place(recipe: str) -> None:
    form = RecipeForm(recipe)
    names = [field.name for field in form.first] + [field.name for field in form.more]
    assert sorted(names) == sorted(field.name for field in fields(RECIPES[recipe]))
    for field in form:
        assert field.label and field.help_text, field.name


def test_what_only_the_recipe_knows_to_be_wrong_is_said_at_its_field() -> None:
    sent = {field.html_name: field.value() for field in RecipeForm("reward")}
    form = RecipeForm("reward", {**sent, "reward-learning_rate": "inf"})
    assert not form.is_valid()
    assert "learning_rate" in form.errors
