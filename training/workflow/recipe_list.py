"""The recipes and their settings, told in the reader's language: for whoever has no form in front of them."""

from dataclasses import asdict
from typing import Any

from django.utils.translation import gettext as _

from annotate.workflow.exceptions import NoSuchRow
from training.recipes import RECIPES
from training.recipes.described import Setting, settings_of
from training.recipes.titles import CHOICES, TITLES, WHEN


def all_recipes() -> list[dict[str, Any]]:
    return [recipe_named(name) for name in RECIPES]


def recipe_named(name: str) -> dict[str, Any]:
    """{"name", "title", "when", "settings"}; raises NoSuchRow, which names those that there are."""
    if name not in RECIPES:
        said = _("There is no recipe %(recipe)s. The recipes are: %(names)s.")
        raise NoSuchRow(said % {"recipe": name[:40], "names": ", ".join(RECIPES)})
    settings = [_told(setting) for setting in settings_of(RECIPES[name])]
    return {"name": name, "title": _(TITLES[name]), "when": _(WHEN[name]) if name in WHEN else "", "settings": settings}


def _told(setting: Setting) -> dict[str, Any]:
    """`choices`: [{"value", "label"}], null where any value within the limits will do."""
    facts = asdict(setting)
    words = CHOICES.get(setting.name, {})
    choices = [{"value": one, "label": _(words[one]) if one in words else str(one)} for one in setting.choices]
    spoken = {"label": _(setting.label), "help": _(setting.help) if setting.help else "", "choices": choices or None}
    return {**facts, **spoken}
