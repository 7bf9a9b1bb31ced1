"""Reads the numbers of a config.json, and rejects values that are not numbers or are impossible."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from training.recipes.errors import RecipeError
from training.recipes.words import gettext_noop

Config = Mapping[str, Any]
# No model is larger; a config.json that says so is damaged, and would be counted for hours.
LARGEST, MOST_LAYERS, MOST_WITHIN = 2**31 - 1, 4096, 64
MOST = dict.fromkeys(("num_hidden_layers", "n_layer", "n_layers", "num_layers", "num_hidden_groups"), MOST_LAYERS)
MOST |= {"inner_group_num": MOST_WITHIN}


def size(config: Config, name: str, default: int | None = None) -> int:
    """Raises RecipeError for what is no number from 1 on, or beyond what any model has."""
    value = config.get(name)
    if value is None and default is not None:
        return default
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        said = gettext_noop("The config.json does not give “%(name)s” as a number from 1 on, but %(value)s.")
        raise RecipeError("config", said, name=name, value=repr(value)[:40])
    most = MOST.get(name, LARGEST)
    if value > most:
        said = gettext_noop("The config.json gives “%(name)s” as a number beyond %(most)s: no model has so many.")
        raise RecipeError("config", said, name=name, most=most)
    return value


def size_or_none(config: Config, name: str, default: int = 0) -> int:
    """Of what a model may do without: there 0, -1 or nothing is given."""
    value = config.get(name)
    if value is None:
        return default
    return 0 if isinstance(value, int) and value < 1 else size(config, name)


def flag(config: Config, name: str, default: bool = False) -> bool:
    """Raises RecipeError for what is neither true nor false: any string would count as true."""
    value = config.get(name)
    if value is None:
        return default
    if not isinstance(value, bool):
        said = gettext_noop("The config.json does not give “%(name)s” as true or false, but %(value)s.")
        raise RecipeError("config", said, name=name, value=repr(value)[:40])
    return value


def share(config: Config, name: str, default: float = 0.0) -> float:
    """Of a dropout. Raises RecipeError for what is no number from 0 to 1."""
    value = default if config.get(name) is None else config[name]
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        said = gettext_noop("The config.json does not give “%(name)s” as a number from 0 to 1, but %(value)s.")
        raise RecipeError("config", said, name=name, value=repr(value)[:40])
    return value


def head_width(config: Config, width: int, heads: int, default: int | None = None) -> int:
    if default is None and config.get("head_dim") is None and width % heads:
        said = gettext_noop("The config.json gives %(heads)s heads to a width of %(width)s, which they do not divide.")
        raise RecipeError("config", said, heads=heads, width=width)
    return size(config, "head_dim", default or width // heads)
