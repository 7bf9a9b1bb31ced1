"""No GPU is to be had: what is asked of torch can be seen, and that a step is taken so; what comes of it cannot."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from tests.training.ml.test_loop import run
from training.ml import group_rollouts, loop
from training.ml.device import choose_device
from training.ml.group_rollouts import OurRollouts
from training.ml.prompt_data import AskedPrompt
from training.ml.repeatable import _kernel_of, as_it_comes, repeatable
from training.ml.rollout import Rollout

pytestmark = pytest.mark.not_db


def test_a_gpu_is_asked_for_the_same_sums_each_time_and_only_inside() -> None:
    with pytest.raises(KeyError), repeatable(torch.device("cuda")):
        assert torch.are_deterministic_algorithms_enabled()
        assert torch.is_deterministic_algorithms_warn_only_enabled(), "what cannot be so must not end a run"
        assert not torch.utils.deterministic.fill_uninitialized_memory
        raise KeyError
    assert not torch.are_deterministic_algorithms_enabled()
    assert torch.utils.deterministic.fill_uninitialized_memory


def strict() -> bool:
    return torch.are_deterministic_algorithms_enabled() and not torch.is_deterministic_algorithms_warn_only_enabled()


@pytest.mark.parametrize("turned", [False, True])
def test_attention_alone_may_not_only_warn_backwards(turned: bool) -> None:
    """Where it may, it is not repeatable, although its kernels could be. The CPU's kernel stands for those of a GPU."""
    attend = torch.nn.functional.scaled_dot_product_attention
    seen: dict[str, bool] = {}
    with repeatable(torch.device("cuda")):
        query, key, value = (torch.randn(1, 2, 8, 4, requires_grad=True) for _ in range(3))
        before = query * 1
        found = torch.nn.functional.scaled_dot_product_attention(before, key, value, is_causal=True)
        kernel = _kernel_of(found.grad_fn)
        assert kernel is not None
        kernel.register_prehook(lambda _given: seen.update(inside=strict()))
        found = found.transpose(1, 2).reshape(1, 8, 8) if turned else found
        found.register_hook(lambda _given: seen.update(behind=strict()))
        before.register_hook(lambda _given: seen.update(below=strict()))
        found.square().sum().backward()
        assert torch.are_deterministic_algorithms_enabled() and not strict()
        with torch.no_grad():
            torch.nn.functional.scaled_dot_product_attention(query, key, value)
    assert seen == {"inside": True, "behind": False, "below": False}
    assert torch.nn.functional.scaled_dot_product_attention is attend
    assert not torch.are_deterministic_algorithms_enabled()


def test_the_kernel_is_found_behind_a_slice_and_not_where_attention_is_written_out() -> None:
    query, key, value = (torch.randn(1, 2, 8, 4, requires_grad=True) for _ in range(3))
    found = torch.nn.functional.scaled_dot_product_attention(query, key, value)
    assert _kernel_of(found[..., :3].transpose(1, 2).grad_fn) is _kernel_of(found.grad_fn) is not None
    assert _kernel_of((query @ key.mT).softmax(dim=-1).grad_fn) is None


def test_what_is_drawn_meanwhile_is_drawn_as_it_comes() -> None:
    with repeatable(torch.device("cuda")):
        with as_it_comes():
            assert not torch.are_deterministic_algorithms_enabled()
        assert torch.are_deterministic_algorithms_enabled()
        assert torch.is_deterministic_algorithms_warn_only_enabled()


def test_what_a_recipe_draws_between_its_steps_is_drawn_so(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bool] = []
    drawn = [Rollout(AskedPrompt("", [], [5]), [6, 7], True, "")]

    def roll_out(*_: Any) -> list[Rollout]:
        seen.append(torch.are_deterministic_algorithms_enabled())
        return drawn

    monkeypatch.setattr(group_rollouts, "roll_out", roll_out)
    trainer = OurRollouts()
    settings = SimpleNamespace(temperature=1.0, max_new_tokens=4)
    trainer.parts = SimpleNamespace(policy=None, tokenizer=None, seed=1, name="rloo", config=settings)
    trainer.asked, trainer.state = [drawn[0].prompt], SimpleNamespace(global_step=0)
    with repeatable(torch.device("cuda")):
        assert trainer.draw() == [[6, 7]]
    assert seen == [False]


def test_attention_of_cudnn_is_never_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """It gives gradients that are no numbers beside a mask (pytorch#196678)."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "NVIDIA H200")
    before = torch.backends.cuda.cudnn_sdp_enabled()
    try:
        torch.backends.cuda.enable_cudnn_sdp(True)
        assert choose_device().precision == "bf16"
        assert not torch.backends.cuda.cudnn_sdp_enabled()
        assert torch.backends.cuda.flash_sdp_enabled() and torch.backends.cuda.mem_efficient_sdp_enabled()
    finally:
        torch.backends.cuda.enable_cudnn_sdp(before)


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
