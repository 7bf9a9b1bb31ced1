"""No GPU is to be had: what is asked of torch can be seen, and that a step is taken so; what comes of it cannot."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.training.ml.test_loop import run
from training.ml import loop
from training.ml.repeatable import repeatable

pytestmark = pytest.mark.not_db


def test_a_gpu_is_asked_for_the_same_sums_each_time_and_only_inside() -> None:
    with pytest.raises(KeyError), repeatable(torch.device("cuda")):
        assert torch.are_deterministic_algorithms_enabled()
        assert torch.is_deterministic_algorithms_warn_only_enabled(), "what cannot be so must not end a run"
        assert not torch.utils.deterministic.fill_uninitialized_memory
        raise KeyError
    assert not torch.are_deterministic_algorithms_enabled()
    assert torch.utils.deterministic.fill_uninitialized_memory


def test_a_cpu_adds_up_in_one_order_anyway() -> None:
    with repeatable(torch.device("cpu")):
        assert not torch.are_deterministic_algorithms_enabled()


def test_every_step_is_taken_so_and_nothing_that_is_looked_at_between(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[bool] = []
    monkeypatch.setattr(loop, "repeatable", lambda device: repeatable(torch.device("cuda")))

    def noting(objective: Any) -> Any:
        def wrapped(batch: Any) -> Any:
            seen.append(torch.are_deterministic_algorithms_enabled())
            return objective(batch)

        return wrapped

    run(tmp_path / "run", wrap=noting)
    assert seen and all(seen)
    assert not torch.are_deterministic_algorithms_enabled()
