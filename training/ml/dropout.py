"""Switches a model's own dropout off: a recipe that compares it with a frozen reference would take its noise for a
change.

TRL does so for all of these (`disable_dropout`). What an adapter adds has a dropout of its own, from the run's
settings.
"""

from __future__ import annotations

from torch import nn


def switch_off_dropout(model: nn.Module) -> None:
    """Of its layers, and of functions that read a share off their module."""
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        for name, value in vars(module).items():
            if "dropout" in name and isinstance(value, float):
                setattr(module, name, 0.0)
