"""An optimizer whose state, and the gradients it takes, lie in parts on all processes (ZeRO, by DeepSpeed).

Rajbhandari et al. 2020, stages 1 and 2: every process holds all weights, and no more than its part of the rest.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any

import torch
from accelerate.utils import DeepSpeedPlugin
from torch import Tensor, nn

from training.ml import together

MOMENTS = ("exp_avg", "exp_avg_sq")


def part(model: nn.Module, optimizer: torch.optim.Optimizer, config: Any) -> torch.optim.Optimizer | Zero:
    """The optimizer in parts if `config` asks for it, with the state that it has by now."""
    if together.count() == 1 or getattr(config, "parallel", "ddp") != "deepspeed":
        return optimizer
    return Zero(model, optimizer, config.max_grad_norm)


class Zero:
    """Stands for the AdamW it is made of: the same groups of the same weights, the same state for a checkpoint."""

    def __init__(self, model: nn.Module, optimizer: torch.optim.Optimizer, max_grad_norm: float) -> None:
        deepspeed = importlib.import_module("deepspeed")
        before = optimizer.state_dict()
        self.plain = before["param_groups"]
        self.weights = [weight for group in optimizer.param_groups for weight in group["params"]]
        asked = {
            **DeepSpeedPlugin().deepspeed_config,  # out of the environment, where the launcher has put it
            "train_batch_size": together.count(),
            "train_micro_batch_size_per_gpu": 1,
            "gradient_accumulation_steps": 1,
            "gradient_clipping": max_grad_norm,
            "zero_allow_untested_optimizer": True,
            "steps_per_print": sys.maxsize,
        }
        optimizer.state.clear()
        self.engine, self.inner, *_ = deepspeed.initialize(model=model, optimizer=optimizer, config=asked)
        self.param_groups = self.inner.param_groups
        self._begin(before["state"])

    def backward(self, loss: Tensor, *, last: bool) -> None:
        """All processes do this together, and as often; DeepSpeed takes the mean over them."""
        self.engine.set_gradient_accumulation_boundary(last)
        self.engine.backward(loss * together.count())

    def step(self) -> float:
        """Shorten the gradient, take the step, forget the gradient. Returns the norm before."""
        self.engine.step()
        return float(self.engine.get_global_grad_norm())

    def state_dict(self) -> dict[str, Any]:
        """As AdamW in one process has it. All processes call this."""
        whole = importlib.import_module("deepspeed.utils").safe_get_full_optimizer_state
        state = {
            place: {"step": self._step(), **{name: whole(weight, name).cpu() for name in MOMENTS}}
            for place, weight in enumerate(self.weights)
        }
        rate = {"lr": self.param_groups[0]["lr"]}
        return {"state": state, "param_groups": [{**group, **rate} for group in self.plain]}

    def _step(self) -> Tensor:
        return next(iter(self.inner.optimizer.state.values()))["step"].clone()

    def _begin(self, state: dict[int, dict[str, Tensor]]) -> None:
        """Make the state that a first step would: that step finds it for the first group of weights only."""
        done = state[0]["step"] if state else torch.tensor(0.0)
        for flat in self.inner.single_partition_of_fp32_groups:
            moments = {name: torch.zeros_like(flat) for name in MOMENTS}
            self.inner.optimizer.state[flat] = {"step": done.clone(), **moments}
        self.inner._lazy_init_hp_params_optimizer_state()
        put = importlib.import_module("deepspeed.utils").safe_set_full_optimizer_state
        for place, saved in state.items():
            for name in MOMENTS:
                put(self.weights[place], saved[name].to(self.weights[place].device), name)
