"""Every setting of every recipe, as docs/recipes.md lists them.

`python -m tests.training.recipes.settings_table` writes the tables anew between their markers.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from training.recipes.described import Setting, described
from training.recipes.titles import TITLES

DOCUMENT = Path(__file__).parents[3] / "docs" / "recipes.md"
BEGIN, END = "<!-- tables: begin -->", "<!-- tables: end -->"
COLUMNS = ("setting", "default", "values", "what it does", "counts only with", "source of the default")


def tables() -> str:
    """Markdown: first what several recipes have alike, then of each what it has of its own."""
    recipes = described()
    rows = {name: {_row(setting): setting.name for setting in settings} for name, settings in recipes.items()}
    users = {row: [name for name in rows if row in rows[name]] for found in rows.values() for row in found}
    shared = [f"{row} {_recipes(names)} |" for row, names in users.items() if len(names) > 1]
    parts = ["## Settings of several recipes", _table((*COLUMNS, "recipes"), shared)]
    for name, found in rows.items():
        parts += [f"## {name}: {TITLES[name]}", *_of_one(found, users)]
    return "\n\n".join(parts)


def written(document: str) -> str:
    """The document with the tables as they are now."""
    return re.sub(f"{BEGIN}.*{END}", lambda _: f"{BEGIN}\n\n{tables()}\n\n{END}", document, flags=re.DOTALL)


def _of_one(rows: dict[str, str], users: dict[str, list[str]]) -> list[str]:
    own = [row for row in rows if len(users[row]) == 1]
    above = ", ".join(f"`{name}`" for row, name in rows.items() if len(users[row]) > 1)
    said = [_table(COLUMNS, own)] if own else []
    said += [f"And from the table above: {above}."] if above else []
    return said or ["There is nothing to set."]


def _recipes(names: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _row(setting: Setting) -> str:
    wanted = "; ".join(f"`{name}`: {', '.join(map(_code, values))}" for name, values in setting.counts_with.items())
    cells = (f"`{setting.name}`", _default(setting), _values(setting), setting.help, wanted, setting.source)
    return f"| {' | '.join(_cell(cell) for cell in cells)} |"


def _default(setting: Setting) -> str:
    if setting.customary:
        return f"by adapter: `{setting.customary['lora']:g}` with `lora`"
    if setting.default is None or setting.default == "":
        return "none"
    return _code(setting.default)


def _values(setting: Setting) -> str:
    if setting.choices:
        return ", ".join(map(_code, setting.choices))
    if setting.min is None and setting.max is None:
        return setting.kind
    return f"{setting.kind}, {setting.min:.9g} to {setting.max:.9g}"


def _code(value: Any) -> str:
    return f"`{value if isinstance(value, str) else json.dumps(value)}`"


def _cell(text: str) -> str:
    return text.replace("|", r"\|")


def _table(columns: tuple[str, ...], rows: list[str]) -> str:
    return "\n".join([f"| {' | '.join(columns)} |", "| --- " * len(columns) + "|", *rows])


if __name__ == "__main__":
    DOCUMENT.write_text(written(DOCUMENT.read_text(encoding="utf-8")), encoding="utf-8")
