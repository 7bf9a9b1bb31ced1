"""The judgments of a project that count, as columns: read as a stream, so that a million take tens of megabytes."""

from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any, Self

import numpy as np
from django.db.models import Case, When
from django.utils import timezone
from numpy.typing import NDArray

from annotate.models import Degrees, Judgment, Project
from annotate.statistics.judgments import TIE, A, B, Judgments

CODES = {"a": A, "tie": TIE, "b": B}
NO_VERSION = 0
ROWS_AT_ONCE = 20_000
WEEK = 7


@dataclass(frozen=True)
class JudgmentColumns:
    """n judgments, each column (n,). item and annotator are ids.

    seconds  NaN where unknown, and of an answer that was given anew after an undo: the texts had been read by then
    version  number of the guideline version, NO_VERSION for none
    week     days from year 1 to the Monday of the week at PLUMBLINE_TIME_ZONE, all 0 if not asked for
    degree   how much better the response is, 0 of ties and where it was not asked
    asked    whether the card asked for a degree, or the judgment has one
    """

    item: NDArray[np.int64]
    annotator: NDArray[np.int64]
    label: NDArray[np.int64]
    seconds: NDArray[np.float64]
    version: NDArray[np.int64]
    week: NDArray[np.int64]
    degree: NDArray[np.int64]
    asked: NDArray[np.bool_]

    def __len__(self) -> int:
        return self.label.size

    def where(self, mask: NDArray[Any]) -> Self:
        return type(self)(*(getattr(self, name)[mask] for name in self.__dataclass_fields__))

    def judgments(self) -> Judgments:
        return Judgments.from_arrays(self.item, self.annotator, self.label)


def read_columns(project: Project, *, weeks: bool = False) -> JudgmentColumns:
    """Surplus and retracted judgments are left out. Times are read for weeks only, because reading them is slow."""
    seconds = Case(When(revision=1, then="seconds"))
    names = ["comparison_id", "annotator_id", "choice", seconds, "guideline_version__number"]
    names += ["degree", "assignment__degrees"]
    rows = Judgment.objects.counted().filter(comparison__project=project).order_by()
    found = rows.values_list(*names, *(["created_at"] if weeks else [])).iterator(chunk_size=ROWS_AT_ONCE)
    parts = [_columns([])]
    while chunk := list(islice(found, ROWS_AT_ONCE)):
        parts.append(_columns(chunk))
    return JudgmentColumns(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _columns(rows: list[tuple[Any, ...]]) -> tuple[NDArray[Any], ...]:
    n = len(rows)
    return (
        np.fromiter((row[0] for row in rows), np.int64, n),
        np.fromiter((row[1] for row in rows), np.int64, n),
        np.fromiter((CODES[row[2]] for row in rows), np.int64, n),
        np.fromiter((np.nan if row[3] is None else row[3] for row in rows), np.float64, n),
        np.fromiter((row[4] or NO_VERSION for row in rows), np.int64, n),
        np.fromiter((_monday(row[7]) if len(row) > 7 else 0 for row in rows), np.int64, n),
        np.fromiter((row[5] or 0 for row in rows), np.int64, n),
        np.fromiter((bool(row[5]) or row[6] > Degrees.ONE for row in rows), np.bool_, n),
    )


def _monday(time: datetime) -> int:
    day = timezone.localtime(time).toordinal()
    return day - (day - 1) % WEEK
