"""Words that are stored in English, with what fills them, and told to each reader in their own language."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext


@dataclass(frozen=True)
class Told:
    """A sentence marked with `gettext_noop`, and the values of its %(name)s."""

    template: str
    values: dict[str, Any]

    def __str__(self) -> str:
        """In English, as it is stored for searches and for readers of the table."""
        return self.template % self.values if self.values else self.template

    def as_json(self) -> dict[str, Any]:
        return {"template": self.template, "values": self.values}


def told(template: str, **values: Any) -> Told:
    """`told(gettext_noop("Taken by %(worker)s."), worker=name)`"""
    return Told(template, values)


def in_readers_language(text: str, template: str = "", values: Mapping[str, Any] | None = None) -> str:
    """`text` is the stored English: it is what is said when there is no template, or it does not fit its values."""
    if not text:
        return ""
    if not template or not values:
        return gettext(template or text)
    try:
        return gettext(template) % values
    except (KeyError, TypeError, ValueError):
        return text
