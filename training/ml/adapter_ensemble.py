"""An ensemble whose members are LoRAs of their own on one frozen model, each with its own row of the score head.

Members that share a body share its mistakes; these differ in every layer (Coste et al. 2023 train whole models apart,
Zhai et al. 2023 LoRAs). Every text is read once by each.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import torch
from peft import PeftConfig, PeftModel, get_peft_model_state_dict, set_peft_model_state_dict
from peft.tuners.tuners_utils import BaseTunerLayer
from peft.utils import ModulesToSaveWrapper
from safetensors.torch import load_file, save_file
from torch import Tensor

from training.ml import launched
from training.ml.adapter_switch import AdapterSwitch
from training.ml.errors import ModelError
from training.ml.scoring import members_of
from training.recipes.words import gettext_noop

FIRST = "default"  # whose files are PEFT's; those of the others lie beside them
FILE = "member_%d.safetensors"


class Members:
    """The adapters of an ensemble in the layers of one model, one of them at work at a time."""

    def __init__(self, model: PeftModel) -> None:
        self.names = [FIRST]
        self._switch = AdapterSwitch(model.get_base_model(), FIRST)
        self._layers = [part for part in model.modules() if isinstance(part, BaseTunerLayer)]

    def add(self, model: PeftModel, *, trained: bool) -> str:
        """One more, as fresh as the first one was; returns its name."""
        config: PeftConfig = copy.deepcopy(model.peft_config[FIRST])
        config.modules_to_save = None  # the head has a row for every member
        name = f"member_{len(self.names)}"
        self._switch.add(name, config, trained=trained)
        for part in model.modules():  # PEFT puts a head to rest that the new adapter has none of
            if isinstance(part, ModulesToSaveWrapper):
                part.set_adapter(FIRST)
        self._switch.keep_gradients()
        self.names.append(name)
        return name

    def scores(self, read: Callable[[], Tensor]) -> Tensor:
        """[texts, members]: of what `read` gives by each member's adapter, [texts, members], the member's own row."""
        found = []
        try:
            for place, name in enumerate(self.names):
                self._wear(name)
                found.append(read()[:, place])
        finally:
            self._wear(FIRST)
        return torch.stack(found, dim=1)

    def _wear(self, name: str) -> None:
        """All of them are trained, or none: which weights have a gradient, what PEFT's own way would settle anew for
        every weight of the model and each adapter, never changes. It took longer than a small model's pass."""
        for layer in self._layers:
            layer._active_adapter = [name]


def with_members(model: PeftModel, number: int, checkpointing: str, parallel: str) -> None:
    """`number` adapters in all, each begun apart by torch's random numbers. Raises ModelError("bad_config") where a
    member's layers would be asked for while another one is at work, or hold a part of its weights alone."""
    if checkpointing == "on":
        raise ModelError(
            "bad_config",
            gettext_noop(
                "gradient_checkpointing: an ensemble of adapters cannot compute its layers anew on the way back, when "
                "another member is at work."
            ),
            gettext_noop("Switch it off, use a smaller batch, or train an ensemble of heads."),
        )
    if launched.processes() > 1 and parallel != "ddp":
        raise ModelError(
            "bad_config",
            gettext_noop("parallel: the members of an ensemble of adapters cannot be shared out over processes."),
            gettext_noop("Use DDP, or train an ensemble of heads."),
        )
    members = Members(model)
    for _ in range(1, number):
        members.add(model, trained=True)
    model.adapter_members = members


def save_members(model: PeftModel, directory: Path) -> None:
    """Beside the files of the first one, which PEFT has written."""
    for number, name in enumerate(members_of(model).names[1:], start=1):
        state = get_peft_model_state_dict(model, adapter_name=name, save_embedding_layers=False)
        tensors = {key: weight.detach().cpu().contiguous() for key, weight in state.items()}
        save_file(tensors, directory / (FILE % number))


def member_files(directory: Path) -> list[Path]:
    """Of the second member and those after it; none where there is no ensemble of adapters."""
    found = []
    while (path := directory / (FILE % (len(found) + 1))).is_file():
        found.append(path)
    return found


def attach_members(model: PeftModel, directory: Path) -> None:
    """Those of the artifact whose first adapter `model` wears. Raises ValueError for a file that does not fit."""
    files = member_files(directory)
    if not files:
        return
    if len(files) + 1 != model.get_base_model().config.num_labels:
        raise ValueError(FILE % (len(files) + 1))
    members = Members(model)
    for path in files:
        name, saved = members.add(model, trained=False), load_file(path)
        wanted = get_peft_model_state_dict(model, adapter_name=name, save_embedding_layers=False)
        if {key: value.shape for key, value in saved.items()} != {key: value.shape for key, value in wanted.items()}:
            raise ValueError(path.name)
        set_peft_model_state_dict(model, saved, adapter_name=name)
    model.adapter_members = members


def members_not_mergeable() -> ModelError:
    return ModelError(
        "adapter_not_mergeable",
        gettext_noop(
            "The members of an ensemble of adapters change the same weights, each in its own way: they cannot be "
            "merged into one model."
        ),
        gettext_noop("Use it as it is, or train an ensemble of heads."),
    )
