"""Training some of a model's own weights and no others: its last layers, its biases, or the head that scores."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from training.ml.blocks import block_names
from training.ml.errors import ModelError
from training.recipes.adapters import HEAD, AdapterConfig
from training.recipes.words import gettext_noop

HEADS = ("score", "classifier")


class Selection:
    """The chosen weights of a model by name, and a copy of what they were: the reference needs it."""

    def __init__(self, model: nn.Module, names: list[str]) -> None:
        weights = dict(model.named_parameters())
        self.weights = {name: weights[name] for name in names}
        self.originals = {name: weight.detach().clone() for name, weight in self.weights.items()}

    def tensors(self) -> dict[str, Tensor]:
        """As trained, on the CPU."""
        return {name: weight.detach().cpu().contiguous() for name, weight in self.weights.items()}

    @contextmanager
    def off(self) -> Iterator[None]:
        """The originals in place of what has been trained; the parameters stay the same objects."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def _swap(self) -> None:
        for name, weight in self.weights.items():
            weight.data, self.originals[name] = self.originals[name], weight.data


def select(model: PreTrainedModel, config: AdapterConfig) -> PreTrainedModel:
    """The model with the chosen weights requiring a gradient, and `selection` to know them by. Raises ModelError."""
    names = {"last_layers": last_layers, "bias": biases, HEAD: score_head}[config.adapter](model, config)
    model.requires_grad_(False)
    for name, weight in model.named_parameters():
        weight.requires_grad_(name in names)
    model.selection = Selection(model, names)
    return model


def last_layers(model: PreTrainedModel, config: AdapterConfig) -> list[str]:
    """The last `layers` blocks and all that comes after them: the final norm, and the head where it is not the
    embedding too (a tied head would train the model's first layer). Lee et al. 2019, What Would Elsa Do?"""
    blocks = block_names(model)
    if config.layers > len(blocks):
        raise ModelError(
            "bad_config",
            gettext_noop("layers: the model has %(count)s layers, fewer than %(wanted)s."),
            gettext_noop("Train fewer of them, or choose full."),
            count=len(blocks),
            wanted=config.layers,
        )
    chosen = tuple(f"{block}." for block in blocks[-config.layers :])
    found = [name for name, _ in model.named_parameters() if name.startswith(chosen)]
    return found + _after(model, blocks[0].rpartition(".")[0])


def biases(model: PreTrainedModel, config: AdapterConfig) -> list[str]:
    """Every bias, and the head that scores if there is one (Ben Zaken et al. 2022, BitFit)."""
    found = [name for name, _ in model.named_parameters() if name.rpartition(".")[2] == "bias"]
    heads = [name for name, _ in model.named_parameters() if name.startswith(HEADS)]
    if not set(found) - set(heads):
        raise ModelError(
            "no_biases",
            gettext_noop("%(model)s has no biases, so there is nothing for this adapter to train."),
            gettext_noop("Choose another adapter, or a model with biases (GPT-2, Qwen2, BERT)."),
            model=type(model).__name__,
        )
    return sorted({*found, *heads})


def score_head(model: PreTrainedModel, config: AdapterConfig) -> list[str]:
    """The head of a reward model, and nothing of its body."""
    return [name for name, _ in model.named_parameters() if name.startswith(HEADS)]


def _after(model: PreTrainedModel, blocks: str) -> list[str]:
    """What stands behind the blocks: their neighbours that are norms, and the head."""
    root = blocks.rpartition(".")[0]
    neighbours = model.get_submodule(root) if root else model
    norms = [f"{root}.{name}" if root else name for name, _ in neighbours.named_children() if "norm" in name.lower()]
    norms += [f"{root}.{name}" for name in ("ln_f",) if hasattr(neighbours, name)]
    embedding = model.get_input_embeddings().weight
    heads = [*HEADS, *(name for name, part in model.named_children() if part is model.get_output_embeddings())]
    starts = tuple(f"{name}." for name in [*norms, *heads])
    named = model.named_parameters()
    return [name for name, weight in named if name.startswith(starts) and weight is not embedding]


def put_back(model: nn.Module, saved: dict[str, Tensor]) -> None:
    """Write trained values into a model of the same shape. Raises KeyError, ValueError where it is another."""
    weights = dict(model.named_parameters())
    with torch.no_grad():
        for name, value in saved.items():
            if weights[name].shape != value.shape:
                raise ValueError(f"{name} has the shape {tuple(value.shape)}, the model's {tuple(weights[name].shape)}")
            weights[name].copy_(value)
