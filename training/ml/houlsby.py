"""Houlsby's bottleneck adapters as a tuner for PEFT, which has none (Houlsby et al. 2019, section 2.1)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from peft import PeftConfig, PeftType
from peft.tuners.tuners_utils import BaseTuner, BaseTunerLayer
from peft.utils import register_peft_method
from torch import Tensor, nn
from torch.nn.functional import gelu
from transformers.pytorch_utils import Conv1D

from training.ml.errors import ModelError
from training.recipes.words import gettext_noop

NAME = "HOULSBY"


def _new_member() -> PeftType:
    """PEFT knows its methods by the members of an enumeration, and registers none that is not one of them."""
    if NAME in PeftType.__members__:
        return PeftType[NAME]
    member = str.__new__(PeftType, NAME)
    member._name_ = member._value_ = NAME
    PeftType._member_map_[NAME] = PeftType._value2member_map_[NAME] = member
    PeftType._member_names_.append(NAME)
    type.__setattr__(PeftType, NAME, member)
    return member


@dataclass
class HoulsbyConfig(PeftConfig):
    """`target_modules` is a pattern for the whole names of the layers that an adapter follows."""

    target_modules: str | list[str] | None = field(default=None, metadata={"help": "Layers that an adapter follows."})
    bottleneck: int = field(default=64, metadata={"help": "Width of the adapter."})
    modules_to_save: list[str] | None = field(default=None, metadata={"help": "Heads that are trained and saved."})

    def __post_init__(self) -> None:
        super().__post_init__()
        self.peft_type = PeftType[NAME]
        if isinstance(self.target_modules, list):
            self.target_modules = set(self.target_modules)


class HoulsbyLayer(nn.Module, BaseTunerLayer):
    """h + up(gelu(down(h))) for the output h of the layer it is put around, [..., width] to the same shape.

    `up` begins at zero, so that it is the identity until it is trained.
    """

    adapter_layer_names = ("houlsby_down", "houlsby_up")
    other_param_names = ()

    def __init__(self, base_layer: nn.Module, name: str, config: HoulsbyConfig) -> None:
        super().__init__()
        self.base_layer = base_layer
        self.houlsby_down, self.houlsby_up = nn.ModuleDict(), nn.ModuleDict()
        self.merged_adapters: list[str] = []
        self._disable_adapters, self._active_adapter = False, name
        self.add(name, config)

    def add(self, name: str, config: HoulsbyConfig) -> None:
        layer = self.get_base_layer()
        width = layer.nf if isinstance(layer, Conv1D) else layer.out_features
        self.houlsby_down[name] = nn.Linear(width, config.bottleneck)
        self.houlsby_up[name] = nn.Linear(config.bottleneck, width)
        nn.init.zeros_(self.houlsby_up[name].weight)
        nn.init.zeros_(self.houlsby_up[name].bias)
        self._move_adapter_to_device_of_base_layer(name)
        self.set_adapter(self.active_adapters, inference_mode=config.inference_mode)

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        h = self.base_layer(x, *args, **kwargs)
        if self.disable_adapters:
            return h
        for name in self.active_adapters:
            if name in self.houlsby_down:
                down, up = self.houlsby_down[name], self.houlsby_up[name]
                h = h + up(gelu(down(h.to(down.weight.dtype)))).to(h.dtype)
        return h

    def merge(self, safe_merge: bool = False, adapter_names: list[str] | None = None) -> None:
        raise not_mergeable("houlsby")

    def unmerge(self) -> None:
        raise not_mergeable("houlsby")


class HoulsbyModel(BaseTuner):
    """Puts a HoulsbyLayer around every target."""

    prefix = "houlsby_"
    tuner_layer_cls = HoulsbyLayer
    target_module_mapping: dict[str, list[str]] = {}

    def _create_and_replace(
        self,
        peft_config: HoulsbyConfig,
        adapter_name: str,
        target: nn.Module,
        target_name: str,
        parent: nn.Module,
        current_key: str,
    ) -> None:
        if isinstance(target, HoulsbyLayer):
            target.add(adapter_name, peft_config)
            return
        layer = HoulsbyLayer(target, adapter_name, peft_config)
        if adapter_name not in self.active_adapters:
            layer.requires_grad_(False)
        self._replace_module(parent, target_name, layer, target)

    def _unload_and_optionally_merge(self, merge: bool = True, *args: Any, **kwargs: Any) -> nn.Module:
        if merge:
            raise not_mergeable("houlsby")
        return super()._unload_and_optionally_merge(False, *args, **kwargs)


def not_mergeable(name: str) -> ModelError:
    """Said where weights would have to hold what they cannot: a non-linear layer, or virtual tokens."""
    return ModelError(
        "adapter_not_mergeable",
        gettext_noop(
            "The adapter %(name)s cannot be merged into the weights of its model, so nothing can be trained on it."
        ),
        gettext_noop("Choose a model trained with lora, ia3, last_layers, bias or in full."),
        name=name,
    )


_new_member()
register_peft_method(name=NAME.lower(), config_cls=HoulsbyConfig, model_cls=HoulsbyModel)
