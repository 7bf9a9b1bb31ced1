"""Saves and restores where a training run stands: trained weights, optimizer, random numbers, position in the data."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.optim import Optimizer

from training.ml import launched, together
from training.ml.durable import fresh, settle, swap_in
from training.ml.errors import ModelError
from training.ml.sharded import parted, whole
from training.recipes.words import gettext_noop

# The models that a run begins with: under each name a mark of its weights, "" where that is not known. Checkpoints of
# an earlier version know `base` alone, or nothing.
BegunOn = Mapping[str, str]
NOT_KNOWN: BegunOn = {}
OTHER_WEIGHTS = {
    "base": gettext_noop("The model has other weights now than when the checkpoint in %(path)s was written."),
    "reward_model": gettext_noop(
        "The reward model has other weights now than when the checkpoint in %(path)s was written."
    ),
}


@dataclass(frozen=True)
class Position:
    """`step` steps are done; `fingerprint` names settings, seed and data, which a resumed run must share. `state` is
    what else a recipe carries from step to step, as JSON (PPO: its KL coefficient, the scale of the reward)."""

    fingerprint: str
    step: int = 0
    seconds: float = 0.0
    state: dict[str, Any] = field(default_factory=dict)


def save_checkpoint(
    directory: Path, model: nn.Module, optimizer: Optimizer, position: Position, begun_on: BegunOn
) -> None:
    """Write `directory/checkpoint`; the old one is there until the new one is whole. All processes of a run call this,
    and the first one writes: the same files as one process would."""
    weights, state = trainable_tensors(model), optimizer.state_dict()
    state["state"] = {key: _each(whole, values) for key, values in state["state"].items()}
    if not launched.is_first():
        return
    target = directory / "checkpoint"
    temporary = fresh(target)
    save_file(weights, temporary / "weights.safetensors")
    # A file of Python's own says what went wrong with it; torch's would only say that something did.
    with (temporary / "optimizer.pt").open("wb") as file:
        torch.save({"optimizer": state, "random": _random_state()}, file)
    facts = {**asdict(position), **begun_on}
    (temporary / "position.json").write_text(json.dumps(facts), encoding="utf-8")
    swap_in(temporary, target)


def load_checkpoint(
    directory: Path, model: nn.Module, optimizer: Optimizer, fingerprint: str, begun_on: BegunOn
) -> Position:
    """Restore model, optimizer and random numbers in place; the start if there is no checkpoint.

    Raises ModelError("foreign_checkpoint") if it was written with other settings or data, or on other weights.
    """
    target = directory / "checkpoint"
    with together.first_goes_first():
        found = settle(target)
    if not found:
        return Position(fingerprint)
    facts = json.loads((target / "position.json").read_text(encoding="utf-8"))
    before = {name: facts.pop(name, "") for name in OTHER_WEIGHTS}
    position = Position(**facts)
    if position.fingerprint != fingerprint:
        raise ModelError(
            "foreign_checkpoint",
            gettext_noop("The checkpoint in %(path)s was written with other settings, another seed or other data."),
            gettext_noop("Start a new run instead of resuming this one, or restore the run's job.json."),
            path=target,
        )
    for name, here in begun_on.items():
        if before[name] and here and before[name] != here:
            hint = gettext_noop("Put the weights back as they were and resume the run, or start a new one.")
            raise ModelError("foreign_checkpoint", OTHER_WEIGHTS[name], hint, path=target)
    _restore_weights(model, load_file(target / "weights.safetensors"))
    # Only tensors and plain values: a file put here by somebody else cannot run code.
    state = torch.load(target / "optimizer.pt", map_location="cpu", weights_only=True)
    places = [weight for group in optimizer.param_groups for weight in group["params"]]
    moments = state["optimizer"]["state"]
    for key, values in moments.items():
        moments[key] = {name: _as_placed(value, places[key]) for name, value in values.items()}
    optimizer.load_state_dict(state["optimizer"])
    _set_random_state(state["random"])
    return position


def base_of(model: nn.Module) -> str:
    """What names the weights that a model with its adapter was loaded with; "" where that is not known."""
    return (getattr(model, "made_for", None) or {}).get("weights", "")


def trainable_tensors(model: nn.Module) -> dict[str, torch.Tensor]:
    """The weights being trained, by name, on the CPU: whatever the adapter method is, nothing of it is lost."""
    named = model.named_parameters()
    return {name: whole(weight) for name, weight in named if weight.requires_grad}


@torch.no_grad()
def _restore_weights(model: nn.Module, saved: dict[str, torch.Tensor]) -> None:
    weights = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
    if weights.keys() != saved.keys():
        odd = sorted(weights.keys() ^ saved.keys())[0]
        said = gettext_noop("The checkpoint does not fit the model: %(name)s is in one of them only.")
        raise ModelError("foreign_checkpoint", said, name=odd)
    for name, weight in weights.items():
        weight.copy_(parted(saved[name], weight))


def _as_placed(value: Any, like: torch.Tensor) -> Any:
    """A moment lies as its weight does; a count of steps, which some optimizers keep as a number, lies nowhere."""
    return parted(value, like) if getattr(value, "shape", None) == like.shape else value


def _each(change: Callable[[Any], Any], values: dict[str, Any]) -> dict[str, Any]:
    return {name: change(value) for name, value in values.items()}


def _random_state() -> dict[str, object]:
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    return {"cpu": torch.get_rng_state(), "cuda": cuda}


def _set_random_state(state: dict[str, object]) -> None:
    torch.set_rng_state(state["cpu"])
    if torch.cuda.is_available() and len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(state["cuda"])
