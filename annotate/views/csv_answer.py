"""A table as a CSV file to be saved."""

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from django.http import HttpResponse, StreamingHttpResponse
from django.utils.translation import gettext as _

# What a spreadsheet takes for a formula at the start of a cell: the name in an import is anybody's text.
FORMULA = ("=", "+", "-", "@", "\t", "\r")
TYPE = "text/csv; charset=utf-8"


def csv_answer(name: str, rows: Iterable[Sequence[Any]]) -> HttpResponse:
    """`rows` with their head, numbers as they are; None is an empty cell."""
    return HttpResponse("".join(_lines(rows)), content_type=TYPE, headers=_saved_as(name))


def streamed_csv(name: str, rows: Iterable[Sequence[Any]]) -> StreamingHttpResponse:
    """The same of more rows than should be in memory at once."""
    return StreamingHttpResponse(_lines(rows), content_type=TYPE, headers=_saved_as(name))


def not_computed_yet() -> HttpResponse:
    return HttpResponse(
        _("The numbers of this project are being computed. Look again in a minute."),
        status=503,
        content_type="text/plain; charset=utf-8",
        headers={"Retry-After": "60"},
    )


def _saved_as(name: str) -> dict[str, str]:
    return {"Content-Disposition": f'attachment; filename="{name}.csv"'}


def _lines(rows: Iterable[Sequence[Any]]) -> Iterator[str]:
    for row in rows:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerow([_cell(value) for value in row])
        yield text.getvalue()


def _cell(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value
