"""Parts of a project whose agreement is compared: by guideline version, round, tag, language or week."""

from collections import defaultdict
from collections.abc import Iterator
from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annotate.models import Project
from annotate.workflow.judgment_columns import NO_VERSION, JudgmentColumns

BREAKDOWNS = ("guideline", "criterion", "round", "tag", "language", "week", "annotator")
OVERALL = "overall"
Mask = NDArray[np.bool_]


def groups_of(project: Project, columns: JudgmentColumns, by: str) -> Iterator[tuple[str | None, Mask]]:
    """Name and judgments (n,) of each group; None for what has no version, round, tag or language.

    A comparison with two tags is in two groups. There is one criterion, the overall choice. Annotators are no group:
    one person's judgments alone have no agreement.
    """
    if by == "guideline":
        return _by_number(columns.version, lambda number: f"v{number}" if number != NO_VERSION else None)
    if by == "week":
        return _by_number(columns.week, _week_name)
    if by == "criterion":
        return iter([(OVERALL, np.ones(len(columns), dtype=bool))])
    return _by_comparison(project, columns, by)


def _by_number(column: NDArray[np.int64], name: Any) -> Iterator[tuple[str | None, Mask]]:
    for number in np.unique(column).tolist():
        yield name(number), column == number


def _week_name(day: int) -> str:
    year, week, _weekday = date.fromordinal(day).isocalendar()
    return f"{year}-W{week:02}"


def _by_comparison(project: Project, columns: JudgmentColumns, by: str) -> Iterator[tuple[str | None, Mask]]:
    field = {"round": "batch__round_number", "tag": "prompt__tags", "language": "prompt__language"}[by]
    members: dict[Any, list[int]] = defaultdict(list)
    for pk, value in project.comparisons.order_by().values_list("pk", field).iterator(chunk_size=20_000):
        for name in (value or [None]) if by == "tag" else [value or None]:
            members[name].append(pk)
    for name in sorted(members, key=lambda name: (name is None, name)):
        mask = np.isin(columns.item, np.array(members[name], dtype=np.int64))
        if mask.any():
            yield None if name is None else str(name), mask
