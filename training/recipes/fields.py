"""Builds a recipe's dataclass from a plain dict, checking names, types and ranges against the field metadata."""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields
from functools import cache
from typing import Any

from training.recipes.errors import RecipeError
from training.recipes.words import gettext_noop

MISTYPED = {
    int: gettext_noop("This must be a whole number, not %(value)s."),
    float: gettext_noop("This must be a number, not %(value)s."),
    bool: gettext_noop("This must be true or false, not %(value)s."),
    str: gettext_noop("This must be text, not %(value)s."),
}


def again(base: type, name: str, default: Any = MISSING, **changes: Any) -> Any:
    """The field `name` of the dataclass `base` once more, with another default, or with `changes` of its metadata."""
    known = base.__dataclass_fields__[name]
    metadata = {**known.metadata, **changes}
    return dataclasses.field(default=known.default if default is MISSING else default, metadata=metadata)


@cache
def types_of(cls: type) -> Mapping[str, Any]:
    """Of each field of a dataclass; kept, since every look would evaluate all annotations."""
    return types.MappingProxyType(typing.get_type_hints(cls))


def build(cls: type, config: dict[str, Any]) -> Any:
    """An instance of the dataclass `cls`; RecipeError names the first field that is unknown, missing or wrong."""
    known = {field.name: field for field in fields(cls)}
    for name in config:
        if name not in known:
            said = gettext_noop("There is no such setting. The settings are: %(names)s.")
            raise RecipeError(name, said, names=", ".join(sorted(known)))
    hints = types_of(cls)
    values = {}
    for name, field in known.items():
        if name in config:
            values[name] = check(field, hints[name], config[name])
        elif field.default is MISSING and field.default_factory is MISSING:
            raise RecipeError(name, gettext_noop("This setting is missing and has no default."))
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
    raise RecipeError(name, MISTYPED[allowed[0]], value=repr(value))


def _within(field: Field, value: Any) -> None:
    choices = field.metadata.get("choices")
    if choices is not None and value not in choices:
        said = gettext_noop("This must be one of %(choices)s, not %(value)s.")
        raise RecipeError(field.name, said, choices=", ".join(map(str, choices)), value=repr(value))
    if isinstance(value, float) and not math.isfinite(value):
        raise RecipeError(field.name, gettext_noop("This must be a finite number, not %(value)s."), value=repr(value))
    low, high = field.metadata.get("min"), field.metadata.get("max")
    if (low is not None and value < low) or (high is not None and value > high):
        raise RecipeError(field.name, _range(low, high), low=str(low), high=str(high), value=repr(value))


def _range(low: Any, high: Any) -> str:
    if low is None:
        return gettext_noop("This must be at most %(high)s, not %(value)s.")
    if high is None:
        return gettext_noop("This must be at least %(low)s, not %(value)s.")
    return gettext_noop("This must be between %(low)s and %(high)s, not %(value)s.")


def counts(field: Field, config: Mapping[str, Any]) -> bool:
    """Whether a setting is looked at, given the others: its "only" names the adapters for which it counts, its
    "only_if" the values of other settings. What does not count may stand at any value."""
    return all(config.get(name) in values for name, values in conditions(field).items())


def conditions(field: Field) -> dict[str, tuple[Any, ...]]:
    """{other setting: the values of it with which this one counts}; empty for one that always counts."""
    found = {name: tuple(values) for name, values in field.metadata.get("only_if", {}).items()}
    if "only" in field.metadata:
        found["adapter"] = tuple(field.metadata["only"])
    return found
