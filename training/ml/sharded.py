"""A model whose weights, gradients and optimizer state lie in parts on all processes (FSDP2; Zhao et al. 2023).

accelerate starts the processes and reads its settings, but takes FSDP on GPUs only: torch's own call is used, which
does the same on a CPU.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from accelerate.utils import FullyShardedDataParallelPlugin
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.distributed.fsdp import register_fsdp_forward_method as register_forward
from torch.distributed.tensor import DTensor, distribute_tensor

from training.ml import launched, together
from training.ml.blocks import block_names
from training.ml.errors import ModelError
from training.recipes.words import gettext_noop

# What is tried and tested: others reach for weights outside the forward pass, where only a part of them is there.
METHODS = ("full", "lora")


def shard(model: nn.Module, config: Any) -> None:
    """Part the model, in place, as `config` asks: a unit for each block, and one for what is around them.

    An optimizer must be made afterwards. Raises ModelError("bad_config").
    """
    kind = getattr(config, "parallel", "ddp")
    if together.count() == 1 or kind == "ddp":
        return
    if config.adapter not in METHODS or config.dora or isinstance(model, nn.ModuleDict):
        raise ModelError(
            "bad_config",
            gettext_noop("parallel: %(kind)s trains every weight, or a plain LoRA; and no ties beside it."),
            gettext_noop("Choose ddp, full fine-tuning, or LoRA."),
            kind=kind,
        )
    if kind == "fsdp":
        _part(model)


def _part(model: nn.Module) -> None:
    asked = FullyShardedDataParallelPlugin(fsdp_version=2)  # the rest out of the environment, from the launcher
    how = {
        "reshard_after_forward": asked.reshard_after_forward,
        "offload_policy": asked.cpu_offload,
        "mp_policy": MixedPrecisionPolicy(),
    }
    model.compute = _call
    body = model.get_base_model() if hasattr(model, "get_base_model") else model
    for name in block_names(body):
        fully_shard(body.get_submodule(name), **how)
    fully_shard(model, **how)
    register_forward(model, "compute")


def is_sharded(model: nn.Module) -> bool:
    return isinstance(model, FSDPModule)


def computed(model: nn.Module, function: Callable[..., Any], *arguments: Any) -> Any:
    """What `function` makes of the model and the arguments (tensors in tuples and dicts), with the weights around the
    blocks whole while it does."""
    return model.compute(function, *arguments) if is_sharded(model) else function(*arguments)


def forward_of(body: nn.Module) -> Callable[..., Any]:
    """Calls the model inside of what is `computed`, where its outer weights are whole. Calling the module itself would
    gather and part them once more, at a moment that another process may not come to with its batch."""
    return body.forward if is_sharded(body) else body


def summed(model: nn.Module, loss: Tensor) -> Tensor:
    """The loss to go backward from, so that gradients are those of the sum over processes: FSDP takes their mean."""
    return loss * together.count() if is_sharded(model) else loss


def whole(value: Any) -> Any:
    """A tensor as it is in one process, on the CPU; all processes call this, and the first one is given it."""
    if not isinstance(value, DTensor):
        return _alone(value.detach().cpu().contiguous()) if isinstance(value, Tensor) else value
    full = value.detach().full_tensor()
    return full.cpu().contiguous() if launched.is_first() else torch.empty(0)


def _alone(value: Tensor) -> Tensor:
    """Not a piece of a larger storage, in which DeepSpeed keeps weights: a file of safetensors could not hold it."""
    return value.clone() if value.untyped_storage().nbytes() > value.nbytes else value


def length_of(norm: Tensor) -> float:
    """A norm over all parts, in every process."""
    return (norm.full_tensor() if isinstance(norm, DTensor) else norm).item()


def parted(value: Tensor, like: Tensor) -> Tensor:
    """This process's part of a whole tensor that all of them have."""
    if not isinstance(like, DTensor):
        return value
    return distribute_tensor(value.to(like.device), like.device_mesh, like.placements, src_data_rank=None)


def _call(function: Callable[..., Any], *arguments: Any) -> Any:
    return function(*arguments)
