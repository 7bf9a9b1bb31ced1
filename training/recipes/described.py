"""The settings of a recipe as rows: what each is called, stands at and may be, and with what it counts."""

from __future__ import annotations

import types
import typing
from dataclasses import MISSING, Field, dataclass, field, fields
from typing import Any

from training.recipes import RECIPES
from training.recipes.adapters import customary_rate
from training.recipes.fields import conditions, counts, types_of

KINDS = {int: "integer", float: "number", bool: "boolean", str: "string"}


@dataclass(frozen=True)
class Setting:
    """`label` and `help` are in English, marked for translation. `counts_with`: {other setting: the values of it with
    which this one is looked at}, empty for one that always is. `customary`: {adapter: what an open default stands for
    with it}, of a learning rate."""

    name: str
    label: str
    help: str
    kind: str
    nullable: bool
    required: bool
    default: Any
    min: int | float | None
    max: int | float | None
    choices: tuple[Any, ...]
    source: str
    counts_with: dict[str, tuple[Any, ...]]
    customary: dict[str, float] = field(default_factory=dict)


def settings_of(config: type) -> list[Setting]:
    """Of a recipe's dataclass, without those that it has fixed: they count with no value of another one."""
    hints = types_of(config)
    asked = [one for one in fields(config) if all(conditions(one).values())]
    adapters = next((one for one in fields(config) if one.name == "adapter"), None)
    methods = adapters.metadata["choices"] if adapters else ()
    return [_setting(one, hints[one.name], methods) for one in asked]


def described() -> dict[str, list[Setting]]:
    return {name: settings_of(config) for name, config in RECIPES.items()}


def _setting(one: Field, hint: Any, methods: tuple[str, ...]) -> Setting:
    kinds = typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else (hint,)
    about = one.metadata
    counted = [name for name in methods if counts(one, {"adapter": name})]
    return Setting(
        name=one.name,
        label=about.get("label", one.name),
        help=about.get("help", ""),
        kind=next(KINDS[kind] for kind in kinds if kind in KINDS),
        nullable=type(None) in kinds,
        required=one.default is MISSING,
        default=None if one.default is MISSING else one.default,
        min=about.get("min"),
        max=about.get("max"),
        choices=tuple(about.get("choices", ())),
        source=about.get("source", ""),
        counts_with=conditions(one),
        customary={name: customary_rate(about["of_lora"], name) for name in counted} if "of_lora" in about else {},
    )
