"""A device that is none: its tensors lie on the CPU, and torch takes them for those of another device. What is computed
is real; an operation on tensors of both devices is refused, as it is on a GPU."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

from training.ml import adapters, run
from training.ml.checkpoint import trainable_tensors
from training.ml.device import Device
from training.ml.job import read_job

NAME = "elsewhere"
CPU = torch.device("cpu")
# A GPU takes indices from the host, and copies from and to it.
TAKE_BOTH = {"index", "index_put_", "index_put", "_index_put_impl_", "copy_", "_to_copy", "set_"}
NUMBERS = {"_local_scalar_dense", "equal"}  # what they give is no tensor of the device


def run_there(directories: Sequence[str]) -> None:
    """Does the jobs on such a device, in bf16. For a process of its own in which nothing went backward before: torch
    looks then, and never again, for which devices there are."""
    for recipe in {read_job(Path(directory)).recipe for directory in directories}:
        import_module(run.MODULES[recipe])
    adapters.save_adapter = _saved  # PEFT asks where in memory a weight lies
    with another_device() as where:
        found = Device(where, torch.bfloat16, NAME)
        for name, module in list(sys.modules.items()):
            if name.startswith("training.ml.") and hasattr(module, "choose_device"):
                module.choose_device = lambda: found
        for directory in directories:
            run.make(read_job(Path(directory)))


def _saved(model: torch.nn.Module, directory: Path) -> None:
    save_file(trainable_tensors(model), directory / "adapter_model.safetensors")


@contextmanager
def another_device() -> Iterator[torch.device]:
    _setup_privateuseone_for_python_backend(NAME)
    library = torch.library.Library("aten", "IMPL")
    library.impl("empty.memory_format", _empty, "PrivateUse1")
    library.impl("empty_strided", _empty_strided, "PrivateUse1")
    torch._C._set_only_lift_cpu_tensors(True)  # `torch.tensor` is seen when it moves what it has made
    try:
        with _Everything():
            yield torch.device(NAME, 0)
    finally:
        torch._C._set_only_lift_cpu_tensors(False)
        library._destroy()


class There(torch.Tensor):
    """`here` is what it holds."""

    here: torch.Tensor

    @staticmethod
    def __new__(cls, here: torch.Tensor) -> There:
        facts = {"strides": here.stride(), "storage_offset": here.storage_offset(), "dtype": here.dtype}
        where = torch.device(NAME, 0)
        made = torch.Tensor._make_wrapper_subclass(cls, here.size(), **facts, layout=here.layout, device=where)
        made.here = here
        return made

    @classmethod
    def __torch_dispatch__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _computed(function, args, kwargs or {})

    def tolist(self) -> Any:
        return self.cpu().tolist()


class _Everything(TorchDispatchMode):
    """Also what makes tensors out of nothing, and so is given none of the device to be known by."""

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _computed(function, args, kwargs or {})


def _empty(size: Sequence[int], dtype: torch.dtype | None = None, **_: Any) -> There:
    return There(torch.empty(size, dtype=dtype))


def _empty_strided(size: Sequence[int], stride: Sequence[int], dtype: torch.dtype | None = None, **_: Any) -> There:
    return There(torch.empty_strided(size, stride, dtype=dtype))


def _computed(function: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    name = function._schema.name.removeprefix("aten::")
    tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
    there = [one for one in tensors if isinstance(one, There)]
    here = [one for one in tensors if not isinstance(one, There) and one.dim() and one.device == CPU]
    if there and here and name not in TAKE_BOTH:
        said = ", ".join(f"{tuple(one.shape)} {one.dtype} {one.device}" for one in tensors)
        raise RuntimeError(f"{function} was given tensors on both devices: {said}")
    asked = [one for one in (*args, *kwargs.values()) if isinstance(one, torch.device)]
    goes_there = asked[0].type == NAME if asked else bool(there)
    if goes_there and getattr(kwargs.get("generator"), "device", None) == CPU:
        raise RuntimeError(f"{function}: a generator of the CPU draws for another device")
    found = function(*tree_map(_on_host, args), **tree_map(_on_host, kwargs))
    if not function._schema.returns:
        return None
    if name.endswith("_") and not name.endswith("__"):
        return args[0]  # it was changed in place
    if not goes_there or name in NUMBERS:
        return found
    known = {id(one.here): one for one in there}
    return tree_map(lambda leaf: _there(leaf, known), found)


def _on_host(leaf: Any) -> Any:
    if isinstance(leaf, There):
        return leaf.here
    return CPU if isinstance(leaf, torch.device) and leaf.type == NAME else leaf


def _there(leaf: Any, known: dict[int, There]) -> Any:
    if not isinstance(leaf, torch.Tensor) or isinstance(leaf, There):
        return leaf
    return known[id(leaf)] if id(leaf) in known else There(leaf)
