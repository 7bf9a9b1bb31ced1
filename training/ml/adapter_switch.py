"""Several adapters in the layers of one model, one of them at work at a time: one backbone plays several parts."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from peft import PeftConfig
from peft.functional import inject_adapter_in_model
from peft.tuners.tuners_utils import BaseTunerLayer, cast_adapter_dtype
from torch import nn


class AdapterSwitch:
    """`usual` is the adapter at work outside of `wearing`: the policy's, or None for the bare model.

    PEFT takes the gradient from every adapter that is not at work. `trained` are the weights that keep theirs: what is
    being trained does not depend on which part has just been played.
    """

    def __init__(self, model: nn.Module, usual: str | None) -> None:
        self.model, self.usual = model, usual
        self.trained = [weight for weight in model.parameters() if weight.requires_grad]
        self.first, self.added = list(self.trained), []

    def add(self, name: str, config: PeftConfig, *, trained: bool) -> None:
        """A new adapter beside those that are there."""
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Already found a `peft_config`")  # several are what is wanted
            inject_adapter_in_model(config, self.model, adapter_name=name)
        # In fp32 as the first one, whatever the base is in: PEFT sees to that one alone. The parameters are new ones.
        cast_adapter_dtype(self.model, name)
        if trained:
            self.trained += [weight for path, weight in self.model.named_parameters() if f".{name}." in f"{path}."]
        self.added.append(name)
        self._wear(self.usual)

    @torch.no_grad()
    def copy(self, name: str, other: str) -> None:
        """`other`, an adapter of the same shape, becomes what `name` is."""
        weights = dict(self.model.named_parameters())
        for path, weight in weights.items():
            if f".{name}." in f"{path}.":
                weights[f"{path}.".replace(f".{name}.", f".{other}.").rstrip(".")].copy_(weight)

    @contextmanager
    def wearing(self, name: str | None) -> Iterator[None]:
        """Backpropagate inside as well: checkpointed activations are computed again by the adapter then at work."""
        self._wear(name)
        try:
            yield
        finally:
            self._wear(self.usual)

    def trained_added(self) -> list[nn.Parameter]:
        """The weights of the adapters that were added and are trained."""
        return [weight for weight in self.trained if not any(weight is one for one in self.first)]

    def remove_added(self) -> None:
        """The model as it was before the first `add`."""
        for name in self.added:
            for layer in self.model.modules():
                if isinstance(layer, BaseTunerLayer):
                    layer.delete_adapter(name)
            self.model.peft_config.pop(name)  # or the policy's files would come with a folder for it
        self.trained, self.added = list(self.first), []
        self._wear(self.usual)

    def keep_gradients(self) -> None:
        """After somebody else has switched adapters off and on again."""
        for weight in self.model.parameters():
            weight.requires_grad_(False)
        for weight in self.trained:
            weight.requires_grad_(True)

    def _wear(self, name: str | None) -> None:
        for layer in self.model.modules():
            if not isinstance(layer, BaseTunerLayer):
                continue
            if name is None:
                layer.enable_adapters(False)
            else:
                if layer.disable_adapters:
                    layer.enable_adapters(True)
                layer.set_adapter(name)
        self.keep_gradients()
