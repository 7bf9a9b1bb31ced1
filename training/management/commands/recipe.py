"""manage.py recipe: what can be trained or sampled, and every setting of it."""

import json
from collections.abc import Iterator
from typing import Any

from django.core.management.base import CommandParser
from django.utils.translation import gettext as _

from annotate.management.telling import TellingCommand
from training.management import options
from training.workflow.recipe_list import all_recipes, recipe_named


class Command(TellingCommand):
    help = "List the recipes, or with a NAME all settings of one: what they stand at, may be, and when they count."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", nargs="?", default="", help="Of one recipe (default: a line for each).")
        parser.add_argument("--json", action="store_true", help="Print one JSON object.")

    def handle(self, *args: Any, **given: Any) -> None:
        with options.clear_errors():
            if given["name"]:
                facts = recipe_named(given["name"])
                text = "\n".join(_one(facts))
            else:
                facts = {"recipes": all_recipes()}
                text = "\n".join(_line(row) for row in facts["recipes"])
        options.report(self, given["json"], facts, text)


def _line(recipe: dict[str, Any]) -> str:
    return f"{recipe['name']:<11} {recipe['title']}; {len(recipe['settings'])} settings. {recipe['when']}".rstrip()


def _one(recipe: dict[str, Any]) -> Iterator[str]:
    yield f"{recipe['name']}: {recipe['title']}. {recipe['when']}".rstrip()
    for setting in recipe["settings"]:
        yield f"\n{setting['name']}={_written(setting['default'])}  ({setting['label']}; {_values(setting)})"
        yield f"    {setting['help']}"
        if setting["customary"]:
            yield f"    {_customary(setting['customary'])}"
        if setting["counts_with"]:
            yield f"    {_('Counts only with %(what)s.') % {'what': _conditions(setting['counts_with'])}}"
        if setting["source"]:
            yield f"    [{setting['source']}]"


def _values(setting: dict[str, Any]) -> str:
    if setting["choices"]:
        return " | ".join(str(choice["value"]) for choice in setting["choices"])
    least, most = setting["min"], setting["max"]
    return setting["kind"] if least is None and most is None else f"{setting['kind']}, {least} – {most}"


def _conditions(wanted: dict[str, Any]) -> str:
    return "; ".join(f"{name}={'|'.join(map(_written, values))}" for name, values in wanted.items())


def _customary(rates: dict[str, float]) -> str:
    return _("Customary: %(rates)s.") % {"rates": ", ".join(f"{name} {rate:g}" for name, rate in rates.items())}


def _written(value: Any) -> str:
    """As `--set` takes it."""
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    return str(value)
