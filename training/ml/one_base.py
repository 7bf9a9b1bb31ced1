"""Loads the models of a run, those that differ only in what was trained beside one base with that base once.

Each is a module of its own whose frozen weights are the very same tensors: nothing is switched on or off, so one may be
asked while another is in the midst of an answer.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from pathlib import Path

import torch
from safetensors import safe_open
from torch import nn
from transformers import PreTrainedModel

from training.ml import load
from training.ml.artifact import read_manifest
from training.ml.device import Device
from training.ml.job import ModelSpec
from training.ml.origin import WEIGHTS, method_of
from training.recipes.adapters import OWN_WEIGHTS
from training.recipes.one_base import NEW, OLD, REWARD, Place, can_be_worn, stands_on, trunk_of
from training.recipes.words import gettext_noop

APART = gettext_noop("each on a backbone of its own")
# By who shares one, of all that there are.
SHARED = {
    ((NEW, OLD, REWARD), 3): gettext_noop("new model, old model and reward model on one backbone"),
    ((NEW, OLD), 2): gettext_noop("new and old model on one backbone"),
    ((NEW, OLD), 3): gettext_noop("new and old model on one backbone, the reward model on another"),
    ((NEW, REWARD), 2): gettext_noop("model and reward model on one backbone"),
    ((NEW, REWARD), 3): gettext_noop("new model and reward model on one backbone, the old model on another"),
    ((OLD, REWARD), 3): gettext_noop("old model and reward model on one backbone, the new model on another"),
}


class Models:
    """`specs` are all models of a run: who of them shares a base is known before the first is loaded."""

    def __init__(
        self, specs: Sequence[ModelSpec], *, cache: Path, device: Device, on_convert: Callable[[], None] = lambda: None
    ) -> None:
        self.device, self.on_convert = device, on_convert
        self._where = {"cache": cache, "device": device, "on_convert": on_convert}
        self.trunk = trunk_of([_place(spec) for spec in specs], self._can_wear)
        self._loaded: PreTrainedModel | None = None

    def shares(self, spec: ModelSpec) -> bool:
        return stands_on(self.trunk, _place(spec), self._can_wear)

    def sharing(self, named: Mapping[str, ModelSpec]) -> str:
        """For the page: which of the models, by NEW, OLD and REWARD, share a backbone; "" of one alone."""
        together = tuple(name for name, spec in named.items() if self.shares(spec))
        return SHARED.get((together, len(named)), APART) if len(named) > 1 else ""

    def speaker(self, spec: ModelSpec) -> nn.Module:
        """As load_speaker gives it."""
        if not self.shares(spec):
            return load.load_speaker(spec, **self._where)
        return self._base() if _place(spec) == self.trunk else self._wearing(self._view(), spec)

    def reward_model(self, spec: ModelSpec) -> nn.Module:
        """As load_reward_model gives it, but that an adapter which would be merged stays beside a shared base."""
        if not self.shares(spec):
            return load.load_reward_model(spec, **self._where)
        members = load.members_of_adapter(Path(spec.adapters[-1]))
        return self._wearing(load.headed(load.on_policy(self._view()), members, self.device), spec)

    def _wearing(self, model: PreTrainedModel, spec: ModelSpec) -> nn.Module:
        adapter = Path(spec.adapters[-1])
        if method_of(adapter) in OWN_WEIGHTS:
            _give_own(model, adapter)
        return load.attached(model, adapter).to(self.device.torch_device).eval()

    def _base(self) -> PreTrainedModel:
        if self._loaded is None:
            base, adapters = self.trunk
            self._loaded = load.load_policy(ModelSpec(base, adapters), **self._where)
        return self._loaded

    def _view(self) -> PreTrainedModel:
        """The base's modules anew, with its tensors."""
        model = self._base()
        return copy.deepcopy(model, {id(tensor): tensor for tensor in chain(model.parameters(), model.buffers())})

    def _can_wear(self, adapter: str) -> bool:
        path = Path(adapter)
        speaks = read_manifest(path).get("task") != "reward"
        return can_be_worn(method_of(path) or "", single=self.device.dtype == torch.float32, speaks=speaks)


def _place(spec: ModelSpec) -> Place:
    return spec.base, spec.adapters


def _give_own(model: nn.Module, adapter: Path) -> None:
    """Copies of the weights that the adapter's file replaces: the others go on with those that are there."""
    weights = dict(model.named_parameters())
    with safe_open(adapter / WEIGHTS, framework="pt") as file:
        names = [name for name in file.keys() if name in weights]  # noqa: SIM118
    for name in names:
        path, _, leaf = name.rpartition(".")
        own = nn.Parameter(weights[name].detach().clone(), requires_grad=False)
        model.get_submodule(path).register_parameter(leaf, own)
