"""Builds a recipe's dataclass from a plain dict, checking names, types and ranges against the field metadata."""

from __future__ import annotations

import math
import types
import typing
from dataclasses import MISSING, Field, fields
from typing import Any

from training.recipes.errors import RecipeError

TYPE_NAMES = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}


def build(cls: type, config: dict[str, Any]) -> Any:
    """An instance of the dataclass `cls`; RecipeError names the first field that is unknown, missing or wrong."""
    known = {field.name: field for field in fields(cls)}
    for name in config:
        if name not in known:
            raise RecipeError(name, f"There is no such setting. The settings are: {', '.join(sorted(known))}.")
    hints = typing.get_type_hints(cls)
    values = {}
    for name, field in known.items():
        if name in config:
            values[name] = check(field, hints[name], config[name])
        elif field.default is MISSING and field.default_factory is MISSING:
            raise RecipeError(name, "This setting is missing and has no default.")
    return cls(**values)


def check(field: Field, wanted: Any, value: Any) -> Any:
    """The value in the field's type, or RecipeError."""
    allowed = _members(wanted)
    if value is None and type(None) in allowed:
        return None
    value = _typed(field.name, [member for member in allowed if member is not type(None)], value)
    _within(field, value)
    return value


def _members(wanted: Any) -> tuple[Any, ...]:
    origin = typing.get_origin(wanted)
    return typing.get_args(wanted) if origin in (typing.Union, types.UnionType) else (wanted,)


def _typed(name: str, allowed: list[Any], value: Any) -> Any:
    for member in allowed:
        # bool is an int in Python; "true" for a number of epochs is a mistake, not a 1.
        if member is not bool and isinstance(value, bool):
            continue
        if member is float and isinstance(value, int):
            return float(value)
        if member is int and isinstance(value, float) and value.is_integer():
            return int(value)
        if isinstance(value, member):
            return value
    names = " or ".join(TYPE_NAMES.get(member, member.__name__) for member in allowed)
    raise RecipeError(name, f"This must be {names}, not {value!r}.")


def _within(field: Field, value: Any) -> None:
    choices = field.metadata.get("choices")
    if choices is not None and value not in choices:
        raise RecipeError(field.name, f"This must be one of {', '.join(map(str, choices))}, not {value!r}.")
    if isinstance(value, float) and not math.isfinite(value):
        raise RecipeError(field.name, f"This must be a finite number, not {value!r}.")
    low, high = field.metadata.get("min"), field.metadata.get("max")
    if (low is not None and value < low) or (high is not None and value > high):
        raise RecipeError(field.name, f"This must be {_range(low, high)}, not {value!r}.")


def _range(low: Any, high: Any) -> str:
    if low is None:
        return f"at most {high}"
    return f"at least {low}" if high is None else f"between {low} and {high}"
