"""What the training loop asks of a GPU. None is to be had: what is asked is seen on a CPU, what comes of it is not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from tests.training.ml.test_loop import CONFIG, dies_at, model, rows, run, squared_error, weights
from training.ml import optimizer
from training.ml.loop import take_step
from training.ml.optimizer import adamw
from training.recipes.sft import SFTConfig

pytestmark = pytest.mark.not_db


class Asked(TorchDispatchMode):
    """Counts how often a number is asked of a tensor; on a GPU whoever asks waits."""

    times = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.times += function is torch.ops.aten._local_scalar_dense.default
        return function(*args, **kwargs or {})


def test_a_gpu_is_waited_for_as_often_however_many_batches_a_step_has() -> None:
    waits = []
    for number in (1, 5):
        net = model()
        batches = [rows()[4 * i : 4 * i + 4] for i in range(number)]
        with Asked() as asked:
            take_step(net, adamw(net, CONFIG), batches, squared_error(net), CONFIG, 0.1)
        waits.append(asked.times)
    assert waits[0] == waits[1] > 0


def test_biases_do_not_decay() -> None:
    groups = adamw(model(), replace(CONFIG, weight_decay=0.1)).param_groups
    found = [(group["weight_decay"], {weight.dim() for weight in group["params"]}) for group in groups]
    assert found == [(0.1, {2}), (0.0, {1})]


IN_PARTS = SFTConfig(learning_rate=0.01)


def test_on_a_gpu_the_optimizer_holds_no_second_copy_of_all_moments() -> None:
    """As torch would do there by itself; on a CPU it does not."""
    there = nn.Module()
    with FakeTensorMode():
        there.weight = nn.Parameter(torch.empty(3, 2, device="cuda"))
    assert all(group["fused"] for group in adamw(there, CONFIG).param_groups)
    assert not any(group["fused"] for group in adamw(model(), CONFIG).param_groups)
    assert not any(group["fused"] for group in adamw(there, replace(IN_PARTS, parallel="deepspeed")).param_groups)


@pytest.mark.filterwarnings("ignore:Paged optimizers are not supported")
@pytest.mark.parametrize("kind", ["_can_be_fused", "is_paged"])
def test_the_optimizers_of_a_gpu_go_on_from_a_checkpoint_too(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both compute on a CPU as well, where nothing else asks for them."""
    if kind == "is_paged":
        pytest.importorskip("bitsandbytes")
    monkeypatch.setattr(optimizer, kind, lambda *_: True)
    whole = run(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "cut", wrap=dies_at(5))
    resumed = run(tmp_path / "cut")
    assert torch.equal(weights(resumed), weights(whole))
