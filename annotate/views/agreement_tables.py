"""Pairs of annotators as a matrix (few people) or as a list sorted by a column (many)."""

from enum import StrEnum
from typing import Any

from annotate.statistics.estimate import Estimate, Outcome

Pair = dict[str, Any]


class Sort(StrEnum):
    """Column of the list; a minus sorts upwards. Whatever else is asked for sorts by what two have in common."""

    COMMON = ""
    KAPPA = "kappa"
    KAPPA_UP = "-kappa"
    RAW = "raw"
    RAW_UP = "-raw"

    @classmethod
    def _missing_(cls, value: object) -> "Sort":
        return cls.COMMON


def sorted_pairs(pairs: list[Pair], sort: Sort) -> list[Pair]:
    """Undefined numbers stand at the end either way."""
    if sort is Sort.COMMON:
        return pairs
    column, upwards = sort.value.lstrip("-"), sort.value.startswith("-")
    return sorted(pairs, key=lambda pair: _rank(pair[column], upwards))


def matrix_of(people: list[str], pairs: list[Pair]) -> list[tuple[str, list[Pair | None]]]:
    """A row a person, a cell for every other; None on the diagonal and where two share no comparison."""
    cells = {frozenset((pair["first"], pair["second"])): pair for pair in pairs}
    return [
        (row, [cells.get(frozenset((row, column))) if row != column else None for column in people]) for row in people
    ]


def _rank(outcome: Outcome, upwards: bool) -> tuple[bool, float]:
    if not isinstance(outcome, Estimate):
        return True, 0.0
    return False, outcome.value if upwards else -outcome.value
