"""The benchmark of training measures the same work on both sides, and counts operations by hand-checked numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from transformers import LlamaConfig

from benchmarks import training
from benchmarks.operations import Sizes, drawn_once, pairs_once
from benchmarks.sampling_arms import sampled
from benchmarks.training_arms import Case, figures, ours, theirs
from tests.training.fixture_model import build_fixture_model

pytestmark = pytest.mark.not_db


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_fixture_model(tmp_path_factory.mktemp("benchmark") / "model", pad_is_eos=True)


def asked(arm: str, model: Path, **more: Any) -> dict[str, Any]:
    sizes = {"pairs": 8, "prompts": 5, "copies": 2, "batch_size": 4, "max_new_tokens": 6, "adapter": "lora"}
    return {"arm": arm, "side": "ours", "model": str(model), **sizes, **more}


@pytest.mark.parametrize("arm", ["reward", "dpo"])
def test_both_sides_learn_the_same_from_the_same_batches(arm: str, tiny: Path, tmp_path: Path) -> None:
    found = {}
    for side, way in (("ours", ours), ("theirs", theirs)):
        case = Case(asked(arm, tiny, adapter="lora"), tmp_path / side)
        found[side] = {**figures(case, way(case)), "bytes": 1}
    assert len(found["ours"]["losses"]) == len(found["theirs"]["losses"]) == 2
    assert found["ours"]["losses"] == pytest.approx(found["theirs"]["losses"], abs=1e-4)
    assert found["ours"]["held_out"] == pytest.approx(found["theirs"]["held_out"], abs=1e-4)
    assert found["ours"]["needed"] == found["theirs"]["needed"] > 0
    told = training.table(arm, [found])
    assert "held-out loss" in told and f"bar: {training.BARS[arm]}" in told and "Largest difference" in told


def test_both_sides_answer_every_prompt(tiny: Path, tmp_path: Path) -> None:
    found = {side: {**sampled(asked("sample", tiny, side=side), tmp_path), "bytes": 1} for side in training.SIDES}
    assert found["ours"]["responses"] == found["theirs"]["responses"] == 10
    assert all(10 <= one["tokens"] <= 60 for one in found.values())
    assert "responses/s" in training.table("sample", [found])


def test_operations_are_counted_once_for_what_is_shared() -> None:
    shape = {"hidden_size": 8, "intermediate_size": 16, "num_attention_heads": 2, "num_key_value_heads": 1}
    sizes = Sizes.of(LlamaConfig(vocab_size=10, num_hidden_layers=3, **shape))
    assert sizes == Sizes(body=3 * (2 * 8 * 8 + 2 * 8 * 4 + 3 * 8 * 16), head=80, wide=3 * 8)
    # A prompt of 2 tokens, responses of 1 and 2: five tokens, which look at 1 + 2, 3, and 3 + 4 tokens.
    looked_at, tokens = 1 + 2 + 3 + 3 + 4, 2 + 1 + 2
    forward = 2 * sizes.body * tokens + 4 * sizes.wide * looked_at
    assert pairs_once(sizes, [(2, 1, 2)], "reward", 2) == 2 * forward
    assert pairs_once(sizes, [(2, 1, 2)], "dpo", 3) == 3 * (forward + 2 * sizes.head * 3)
    two_responses = [(2, 1), (2, 2)]  # the last token of a prompt is given to the output layer too
    assert drawn_once(sizes, two_responses, 2) == forward + 2 * sizes.head * (3 + 1)
    # And another prompt that begins alike: of its two tokens the second is read, which looks at both.
    more = 2 * sizes.body * (1 + 1) + 4 * sizes.wide * (2 + 3) + 2 * sizes.head * (1 + 1)
    twice = [(2, 1), (2, 1)]  # one response each
    assert drawn_once(sizes, [twice[0]], 1, 1) + more == drawn_once(sizes, twice, 1, 1)


def test_an_arm_that_there_is_not_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["training", "--arms", "nonsense", "--quick"])
    with pytest.raises(SystemExit, match="no arm nonsense"):
        training.main()
