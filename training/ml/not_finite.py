"""A loss or gradient that is no finite number: whether the model itself computes it, and what of the run is left."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from training.ml.errors import ModelError
from training.ml.packed import named_weights
from training.ml.sharded import is_sharded
from training.recipes.words import gettext_noop

MOST_NAMED = 8
PREFIX = "base_model.model."  # of all names, once PEFT has put an adapter around a model
BROKEN = gettext_noop(
    "The model that it starts from is broken: %(number)s of its tensors hold NaN or infinity, the first is %(tensor)s. "
    "The %(what)s is %(value)s with %(names)s."
)
BROKEN_HINT = gettext_noop(
    "Its files are damaged, or it was trained until it broke: get them again, or start from another model."
)
FIRST = gettext_noop(
    "The %(what)s is %(value)s at the very first step, before anything was learned, with %(names)s: the model itself "
    "computes it."
)
FIRST_HINT = gettext_noop(
    "A smaller learning rate changes nothing here: start from another model, or look at these examples."
)

# Of a model that is drawn from.
MUTE_BROKEN = gettext_noop(
    "The model is broken: %(number)s of its tensors hold NaN or infinity, the first is %(tensor)s. Nothing can be "
    "drawn from it."
)
MUTE = gettext_noop(
    "The model computes NaN where the next token of a response should be: nothing can be drawn from it."
)
MUTE_HINT = gettext_noop(
    "Its files are damaged, or it was trained until it broke: get them again, or choose another model."
)


class NotFinite(ArithmeticError):
    """`what` ("loss" or "gradient") is `value`; `names`: the examples or prompts that it was computed of."""

    def __init__(self, what: str, value: float, names: Iterable[str]) -> None:
        self.what, self.value, self.names = what, value, list(names)[:MOST_NAMED]
        super().__init__(f"the {what} is {value}")


@dataclass(frozen=True)
class Words:
    """For a run that broke while it learned: with a checkpoint to go back to, and without. `named` is what the names
    stand for in them."""

    kept: str
    lost: str
    hint: str
    named: str


def told(
    found: NotFinite, words: Words, model: nn.Module, directory: Path, *, nothing_learned: bool, stepped: bool = False
) -> ModelError:
    """In words for people: ModelError("nan_loss"). `stepped`: the optimizer has taken the step that this was found in,
    so that what is trained holds NaN whoever is to blame."""
    facts = {"what": found.what, "value": str(found.value)}
    names = ", ".join(found.names)
    if broken := not_finite(model, with_trained=nothing_learned and not stepped):
        more = {"number": len(broken), "tensor": broken[0], "names": names}
        return ModelError("nan_loss", BROKEN, BROKEN_HINT, **facts, **more)
    if nothing_learned and found.what == "loss":
        return ModelError("nan_loss", FIRST, FIRST_HINT, **facts, names=names)
    said = words.kept if (directory / "checkpoint").exists() else words.lost
    return ModelError("nan_loss", said, words.hint, **facts, **{words.named: names})


@torch.no_grad()
def not_finite(model: nn.Module, *, with_trained: bool) -> list[str]:
    """The names of the tensors that hold a number that is none, of those that training has left as they were. Of a
    model that lies in parts nothing is told: to look at it all processes would have to meet here."""
    if is_sharded(model):
        return []
    kept = [(name, weight) for name, weight in named_weights(model) if with_trained or not weight.requires_grad]
    return [_in_its_files(name) for name, weight in kept if not _is_finite(weight)]


def _in_its_files(name: str) -> str:
    """A weight by the name that the model's own files give it, whatever adapter was put around its layer."""
    return name.removeprefix(PREFIX).replace(".base_layer.", ".")


def _is_finite(weight: torch.Tensor) -> bool:
    """Weights that are laid out for sampling (`packed.py`) are looked at as they were."""
    return bool(torch.isfinite(weight.to_dense() if weight.is_mkldnn else weight).all())


def require_numbers(model: nn.Module, logits: torch.Tensor) -> None:
    """Raises ModelError("nan_loss") if the logits of a next token, (rows, vocabulary), are none. A vocabulary may be
    padded with tokens at minus infinity, which are never drawn."""
    if not bool(torch.isnan(logits).any()):
        return
    if broken := not_finite(model, with_trained=True):
        raise ModelError("nan_loss", MUTE_BROKEN, MUTE_HINT, number=len(broken), tensor=broken[0])
    raise ModelError("nan_loss", MUTE, MUTE_HINT)
