"""What all of the API does alike: how a body is read, what a request may name, and how a list is paged."""

import json
from collections.abc import Iterable
from typing import IO, Any

from django.utils.translation import gettext as _
from rest_framework import serializers
from rest_framework.exceptions import ParseError, ValidationError
from rest_framework.pagination import LimitOffsetPagination
from rest_framework.parsers import JSONParser
from rest_framework.request import Request

MOST = 10**9 - 1  # more rows would be no page of anything
# Rows of an answer, which is built in memory.
LONGEST_PAGE = 1000


class StrictJSONParser(JSONParser):
    """Refuses what could be read but neither stored nor answered: half a character, or brackets without end."""

    def parse(self, stream: IO[Any], media_type: str | None = None, parser_context: Any = None) -> Any:
        try:
            found = super().parse(stream, media_type, parser_context)
            json.dumps(found, ensure_ascii=False).encode()
        except RecursionError as error:
            raise ParseError(_("The JSON is nested too deeply.")) from error
        except UnicodeEncodeError as error:
            raise ParseError(_("The JSON holds half a character (a lone surrogate).")) from error
        return found


class Asked(serializers.Serializer[None]):
    """The body of a request. A field that it does not know is refused: it may be one that is spelled wrongly. Where
    there is a choice, what cannot be chosen is answered with what can."""

    def get_fields(self) -> dict[str, serializers.Field]:
        found = super().get_fields()
        for field in found.values():
            if isinstance(field, serializers.ChoiceField):
                names = _("Choose one of: %(names)s.") % {"names": ", ".join(map(str, field.choices))}
                field.error_messages["invalid_choice"] = f"{field.error_messages['invalid_choice']} {names}"
        return found

    def to_internal_value(self, data: Any) -> Any:
        unknown = set(data) - set(self.fields) if type(data) is dict else set()
        if unknown:
            said = _("There is no such field. There are: %(names)s.") % {"names": ", ".join(self.fields)}
            raise ValidationError({str(name): [said] for name in sorted(unknown)})
        return super().to_internal_value(data)


class Pages(LimitOffsetPagination):
    """`?limit=` and `?offset=`; what is no number of rows is refused by name."""

    def get_limit(self, request: Request) -> int | None:
        return _rows(request, "limit", 1, self.default_limit, LONGEST_PAGE)

    def get_offset(self, request: Request) -> int:
        return _rows(request, "offset", 0, 0, MOST) or 0


def _rows(request: Request, name: str, least: int, default: int | None, most: int) -> int | None:
    raw = request.query_params.get(name)
    return default if raw is None or raw == "" else whole_number(raw, name, least, most)


def whole_number(raw: str, name: str, least: int = 1, most: int = MOST) -> int:
    """Of a query; raises ValidationError with the name of the field."""
    # Few digits before int(), which refuses to read a number of thousands of them.
    if not (raw.isascii() and raw.isdecimal() and len(raw) <= len(str(most)) and least <= int(raw) <= most):
        said = _("This must be a whole number from %(least)s to %(most)s, not %(text)s.")
        raise ValidationError({name: [said % {"least": least, "most": most, "text": raw[:40]}]})
    return int(raw)


def one_of(raw: str, name: str, known: Iterable[str]) -> str:
    """Of a query, nothing included; raises ValidationError with the name of the field."""
    if raw and raw not in known:
        raise ValidationError({name: [_("Choose one of: %(names)s.") % {"names": ", ".join(known)}]})
    return raw
