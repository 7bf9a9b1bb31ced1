"""Things named one after the other, and a name with what is said of it: comma and colon are the reader's language's."""

from collections.abc import Iterable

from django.utils.translation import gettext as _


def listed(parts: Iterable[object]) -> str:
    return _(", ").join(map(str, parts))


def labelled(name: object, said: object) -> str:
    return f"{name}{_(': ')}{said}"
