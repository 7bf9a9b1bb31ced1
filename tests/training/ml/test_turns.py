"""The order in which prompts are answered."""

from __future__ import annotations

from training.ml.prompt_data import AskedPrompt
from training.ml.turns import Turns

PROMPTS = [AskedPrompt(f"p{number}", [], [number]) for number in range(7)]


def names(turns: Turns, *numbers: int) -> list[str]:
    return [turns[number].id for number in numbers]


def test_every_prompt_has_its_turn_once_an_epoch_and_in_another_order_in_the_next() -> None:
    turns = Turns(PROMPTS, seed=3)
    first, second = names(turns, *range(7)), names(turns, *range(7, 14))
    assert sorted(first) == sorted(second) == [prompt.id for prompt in PROMPTS]
    assert first != second


def test_a_turn_depends_on_the_seed_and_on_nothing_that_was_asked_before() -> None:
    """So a run that is taken up in its middle goes on with the same prompts."""
    whole = names(Turns(PROMPTS, seed=3), *range(21))
    turns = Turns(PROMPTS, seed=3)
    assert names(turns, 13, 6, 7, 20, 0) == [whole[number] for number in (13, 6, 7, 20, 0)]
    assert names(Turns(PROMPTS, seed=4), *range(21)) != whole
