"""Saves and restores where a training run stands: trained weights, optimizer, random numbers, position in the data."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.optim import Optimizer

from training.ml.durable import fresh, settle, swap_in
from training.ml.errors import ModelError


@dataclass(frozen=True)
class Position:
    """`step` steps are done; `fingerprint` names settings, seed and data, which a resumed run must share."""

    fingerprint: str
    step: int = 0
    seconds: float = 0.0


def save_checkpoint(directory: Path, model: nn.Module, optimizer: Optimizer, position: Position) -> None:
    """Write `directory/checkpoint`; the old one is there until the new one is whole."""
    target = directory / "checkpoint"
    temporary = fresh(target)
    save_file(trainable_tensors(model), temporary / "weights.safetensors")
    torch.save({"optimizer": optimizer.state_dict(), "random": _random_state()}, temporary / "optimizer.pt")
    (temporary / "position.json").write_text(json.dumps(asdict(position)), encoding="utf-8")
    swap_in(temporary, target)


def load_checkpoint(directory: Path, model: nn.Module, optimizer: Optimizer, fingerprint: str) -> Position:
    """Restore model, optimizer and random numbers in place; the start if there is no checkpoint.

    Raises ModelError("foreign_checkpoint") if it was written with other settings or data.
    """
    target = directory / "checkpoint"
    if not settle(target):
        return Position(fingerprint)
    position = Position(**json.loads((target / "position.json").read_text(encoding="utf-8")))
    if position.fingerprint != fingerprint:
        raise ModelError(
            "foreign_checkpoint",
            f"The checkpoint in {target} was written with other settings, another seed or other data.",
            "Start a new run instead of resuming this one, or restore the run's job.json.",
        )
    _restore_weights(model, load_file(target / "weights.safetensors"))
    # Only tensors and plain values: a file put here by somebody else cannot run code.
    state = torch.load(target / "optimizer.pt", map_location="cpu", weights_only=True)
    optimizer.load_state_dict(state["optimizer"])
    _set_random_state(state["random"])
    return position


def trainable_tensors(model: nn.Module) -> dict[str, torch.Tensor]:
    """The weights being trained, by name, on the CPU: whatever the adapter method is, nothing of it is lost."""
    named = model.named_parameters()
    return {name: weight.detach().cpu().contiguous() for name, weight in named if weight.requires_grad}


@torch.no_grad()
def _restore_weights(model: nn.Module, saved: dict[str, torch.Tensor]) -> None:
    weights = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
    if weights.keys() != saved.keys():
        odd = sorted(weights.keys() ^ saved.keys())[0]
        raise ModelError("foreign_checkpoint", f"The checkpoint does not fit the model: {odd} is in one of them only.")
    for name, weight in weights.items():
        weight.copy_(saved[name])


def _random_state() -> dict[str, object]:
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    return {"cpu": torch.get_rng_state(), "cuda": cuda}


def _set_random_state(state: dict[str, object]) -> None:
    torch.set_rng_state(state["cpu"])
    if torch.cuda.is_available() and len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(state["cuda"])
