"""What must hold of every estimated time, and of the parts it is made of."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.training.recipes.test_estimate import MODEL, question
from training.recipes import load
from training.recipes.estimate import Data, Durations, Machine, Speed, every_method
from training.recipes.estimate.adapters import parameters
from training.recipes.estimate.table import ESTIMATED, estimate
from training.recipes.estimate.throughput import REFERENCED, Clock
from training.recipes.estimate.workload import DRAWN, workload

pytestmark = pytest.mark.not_db


def test_what_an_earlier_run_took_corrects_its_own_parts_of_every_method() -> None:
    measured = Speed("earlier run", 1e12, learning=3.0, rest=0.5)
    both = (every_method(question("dpo", speed=speed), load("dpo", {})) for speed in (measured, None))
    for slow, plain in zip(*both, strict=True):
        assert slow.durations.training == pytest.approx(3 * plain.durations.training)
        assert slow.durations.rest == pytest.approx(plain.durations.rest / 2)


@pytest.mark.parametrize("recipe", ESTIMATED)
def test_every_part_of_a_run_takes_its_time(recipe: str) -> None:
    """What is kept from an earlier run is not read again, and whatever there is more of takes longer."""
    bare = Data(100, 200, 50)
    more = {
        "loading": [],
        "training": [replace(bare, examples=200)],
        "evaluation": [replace(bare, held_out=30), *([replace(bare, probed=5000)] if recipe != "reward" else [])],
        "reading": [replace(bare, examples=200), replace(bare, held_out=30)] if recipe in REFERENCED else [],
    }
    config = load(recipe, {"max_length": 256, "max_new_tokens": 64} if recipe in DRAWN else {"max_length": 256})

    def parts(data: Data) -> dict[str, float]:
        return estimate(replace(question(recipe), data=data), config).durations.parts

    for part, larger in more.items():
        for data in larger:
            assert parts(data)[part] > parts(bare)[part]
    assert (parts(bare)["reading"] > 0) == (recipe in REFERENCED)
    assert parts(replace(bare, kept=frozenset(["reference"])))["reading"] == 0
    probed = replace(bare, held_out=30, probed=5000)
    assert (parts(replace(probed, kept=frozenset(["probes"]))) == parts(probed)) == (recipe == "reward")


def test_every_look_at_a_training_takes_as_long_as_its_answers() -> None:
    """A hundred examples in batches of 4 by 2 and three epochs are 39 steps: of nine looks and of none."""
    asked = question("dpo", speed=Speed("earlier run", 1e12, 1e9, learning=3.0, rest=0.5))
    steps = {"batch_size": 4, "gradient_accumulation": 2, "epochs": 3}

    def found(every: int, held_out: int = 30) -> Durations:
        data = replace(asked.data, held_out=held_out)
        return estimate(replace(asked, data=data), load("dpo", {**steps, "samples_every": every})).durations

    one_look = 3.0 * 80 * 4 * MODEL.policy / 1e9  # eighty steps, each of which reads all weights
    plain, looked = found(0), found(4)
    assert plain.parts["answers"] == 0 and looked.parts["answers"] == pytest.approx(9 * one_look)
    assert looked.training == pytest.approx(plain.training + 9 * one_look)
    assert looked.rest == pytest.approx(plain.rest) and looked.total == pytest.approx(looked.training + looked.rest)
    assert found(40).parts["answers"] == found(4, held_out=0).parts["answers"] == 0
    assert found(39).parts["answers"] == pytest.approx(one_look)


def test_a_step_counts_what_an_example_is_taken_apart_into() -> None:
    """Of a hundred pairs KTO makes two hundred responses, of a hundred single votes no more than those."""
    asked = question("kto", speed=Speed("given", 1e12, 1e9))
    config = load("kto", {"batch_size": 8, "gradient_accumulation": 1, "epochs": 1, "samples_every": 5})
    pairs, votes = (replace(asked.data, held_out=30, items=items) for items in (2, 1))
    looks = [estimate(replace(asked, data=data), config).durations.parts["answers"] for data in (pairs, votes)]
    assert looks[0] == pytest.approx(5 / 2 * looks[1]) and looks[1] > 0, "25 steps and 13"


def test_a_prompt_that_is_computed_once_for_both_sides_is_counted_once() -> None:
    """On a GPU, where flash attention cannot do it, twice."""
    known = Data(100, 200, 60)
    for machine, each in ((Machine("cpu"), 140), (Machine("gpu"), 200)):
        found, one = (
            estimate(replace(question("dpo", machine), data=data), load("dpo", {})).durations.training
            for data in (known, Data(100, 1))
        )
        assert found == pytest.approx(each * one)


def test_a_step_of_few_rows_waits_for_the_weights_and_one_of_many_for_the_products() -> None:
    config, work = load("ppo", {}), workload("ppo", load("ppo", {}))
    clock = Clock(MODEL, config, parameters(MODEL, config, "policy"), work, Speed("given", 1e12, 1e9))
    assert clock.draws(1, 10, 1) == pytest.approx(10 * 4 * MODEL.policy / 1e9)
    assert clock.draws(4, 10, 4) == clock.draws(1, 10, 1)
    assert clock.draws(4000, 10, 4000) == pytest.approx(10 * 2 * 4000 * MODEL.policy / 1e12)
    assert clock.draws(0, 10, 4) == 0
    assert clock.draws(64, 10, 32) == pytest.approx(2 * clock.draws(32, 10, 32))


def test_without_a_speed_or_data_there_is_no_time() -> None:
    assert estimate(question("dpo", speed=Speed()), load("dpo", {})).seconds is None
    assert estimate(replace(question("ppo"), data=Data(0, 0)), load("ppo", {})).seconds is None
