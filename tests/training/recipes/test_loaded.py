"""The memory of models that are only asked: all weights, and the working memory of whichever takes the most."""

import pytest

from tests.training.recipes.test_estimate import MODEL, SIZES
from training.recipes.estimate import loaded_memory, read_architecture

pytestmark = pytest.mark.not_db
LARGER = read_architecture({**SIZES, "num_hidden_layers": 12, "max_position_embeddings": 512})


def test_all_weights_are_held_at_once_and_one_cache() -> None:
    parts = loaded_memory([MODEL, LARGER], MODEL, "cpu").parts
    assert parts["weights"] == 4 * (MODEL.policy + LARGER.policy)
    assert parts["reward"] == 4 * (MODEL.body + MODEL.width)
    # Two heads of keys and of values, 16 wide, for 2048 tokens of six layers: more than 512 tokens of twelve.
    assert parts["kv_cache"] == 2 * 6 * 2 * 16 * 2048 * 4


def test_a_gpu_holds_half_of_it_but_the_head_of_a_reward_model() -> None:
    on_cpu, on_gpu = (loaded_memory([MODEL], MODEL, device).parts for device in ("cpu", "gpu"))
    assert on_gpu["weights"] * 2 == on_cpu["weights"] and on_gpu["kv_cache"] * 2 == on_cpu["kv_cache"]
    assert on_gpu["reward"] == 2 * MODEL.body + 4 * MODEL.width


def test_a_reward_model_alone_needs_no_cache() -> None:
    held = loaded_memory([], MODEL, "cpu")
    assert held.parts["weights"] == held.parts["kv_cache"] == 0 < held.parts["activations"]
    assert held.total == held.parts["reward"] + held.parts["activations"]
