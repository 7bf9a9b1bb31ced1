"""Settings with which PPO, RLOO and GRPO could not do their work are refused at the form, not hours later."""

import pytest

from training.ml.kl import KLControl
from training.recipes import load
from training.recipes.errors import RecipeError

POLICIES = ("ppo", "rloo", "grpo")


@pytest.mark.parametrize("recipe", POLICIES)
def test_a_response_that_leaves_no_room_for_a_prompt_is_refused(recipe: str) -> None:
    with pytest.raises(RecipeError, match="512 tokens together") as caught:
        load(recipe, {"max_length": 512, "max_new_tokens": 512})
    assert caught.value.field == "max_new_tokens"
    assert load(recipe, {"max_length": 512, "max_new_tokens": 511}).max_new_tokens == 511


@pytest.mark.parametrize("recipe", POLICIES)
def test_what_other_parts_of_the_settings_refuse_is_refused_still(recipe: str) -> None:
    with pytest.raises(RecipeError) as caught:
        load(recipe, {"targets": "q proj"})
    assert caught.value.field == "targets"


def test_a_group_that_a_step_would_cut_is_refused_still() -> None:
    with pytest.raises(RecipeError) as caught:
        load("grpo", {"generations": 5})
    assert caught.value.field == "generations"


def test_an_adaptive_coefficient_cannot_begin_where_it_would_stay() -> None:
    with pytest.raises(RecipeError, match="cannot start at 0") as caught:
        load("ppo", {"kl_coefficient": 0.0})
    assert caught.value.field == "kl_coefficient"
    assert load("ppo", {"kl_coefficient": 0.0, "kl_control": "fixed"}).kl_coefficient == 0.0


def test_no_gain_that_is_allowed_brings_a_coefficient_to_zero() -> None:
    highest = load("ppo", {"kl_gain": 4.0}).kl_gain
    control = KLControl(0.05, target=6.0, gain=highest)
    assert control.after(0.0).coefficient > 0.005
    assert control.after(0.0).after(100.0).coefficient > control.after(0.0).coefficient
    with pytest.raises(RecipeError):
        load("ppo", {"kl_gain": 5.0})
