"""Every adapter learns at its customary rate; those that need a larger one than LoRA learn more by it."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.training.ml.jobs import job_of, manifest
from tests.training.planted import write_planted
from training.ml import reward
from training.recipes import load
from training.recipes.adapters import METHODS, RATES

LARGER = [method for method in METHODS if RATES.get(method, 1) > 1]
Found = tuple[float, float]  # of held-out pairs: the loss, and the share ranked right


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return write_planted(tmp_path_factory.mktemp("data"), train=80, test=40)


@pytest.fixture
def held_out(
    data: dict[str, str], fixture_model: Path, qwen2_model: Path, tmp_path: Path
) -> Callable[[str, float | None], Found]:
    """After one epoch of ten steps with the recipe's own settings."""

    def find(adapter: str, rate: float | None) -> Found:
        base, where = qwen2_model if adapter == "bias" else fixture_model, tmp_path / str(rate)
        small = {"layers": 1} if adapter == "last_layers" else {}
        reward.run(job_of(where, "reward", base, data, adapter=adapter, learning_rate=rate, **small))
        metrics = manifest(where)["metrics"]
        return metrics["loss"]["value"], metrics["accuracy"]["value"]

    return find


@pytest.mark.parametrize(
    "adapter", [pytest.param(name, marks=[] if name == "p_tuning_v2" else pytest.mark.slow) for name in LARGER]
)
def test_a_customary_rate_teaches_more_than_loras(adapter: str, held_out: Callable[[str, float | None], Found]) -> None:
    loss, accuracy = held_out(adapter, None)
    of_lora, _ = held_out(adapter, load("reward", {"adapter": "lora"}).learning_rate)
    # By how much more than nothing: it was 2.5 times (prefix) to 25 times (p_tuning_v2).
    assert math.log(2) - loss > 1.5 * (math.log(2) - of_lora)
    assert accuracy > 0.8


@pytest.mark.slow
@pytest.mark.parametrize("adapter", [name for name in METHODS if name not in LARGER])
def test_the_others_learn_too(adapter: str, held_out: Callable[[str, float | None], Found]) -> None:
    """A tiny model drawn at random bears larger steps than one that knows something: here more would teach more."""
    loss, accuracy = held_out(adapter, None)
    assert loss < math.log(2) and accuracy > 0.6
