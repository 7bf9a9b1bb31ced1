"""Names the weights in a folder without reading them all, so that it shows when others have taken their place."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor
from transformers import PretrainedConfig

# Of each tensor so many rows, spread over it, and of each so many numbers: what was trained further differs nearly
# everywhere.
ROWS, NUMBERS = 8, 32


def weights_mark(config: PretrainedConfig) -> str:
    """Of the model that was loaded with `config`: its folder's tensors, however they are dealt out to files, or the
    commit of the hub; "" where neither is known."""
    folder = Path(config.name_or_path or "")
    if config.name_or_path and folder.is_dir():
        return folder_mark(folder)
    return str(getattr(config, "_commit_hash", None) or "")


def folder_mark(folder: Path) -> str:
    """Of its tensors; "" where it has none."""
    tensors = sorted(tensor for path in folder.glob("*.safetensors") for tensor in _tensors(path))
    return hashlib.sha256(repr(tensors).encode()).hexdigest()[:32] if tensors else ""


def _tensors(path: Path) -> Iterator[tuple[str, str, list[int], str]]:
    """Name, type, shape and a hash of some numbers of each."""
    with safe_open(path, framework="pt") as file:
        for name in file.keys():  # noqa: SIM118
            tensor = file.get_slice(name)
            shape = tensor.get_shape()
            seen = hashlib.sha256()
            for row in _spread(shape[0]) if shape else ():
                seen.update(_bytes(tensor[row].flatten()[:NUMBERS]))
            if not shape:
                seen.update(_bytes(file.get_tensor(name)))
            yield name, tensor.get_dtype(), shape, seen.hexdigest()


def _spread(length: int) -> list[int]:
    return sorted({place * (length - 1) // (ROWS - 1) for place in range(ROWS)}) if length else []


def _bytes(numbers: Tensor) -> bytes:
    return numbers.reshape(-1).contiguous().view(torch.uint8).numpy().tobytes()
