"""The difference of two guideline versions as a page shows it: what has not changed is folded away."""

from dataclasses import dataclass
from itertools import groupby

from annotate.workflow.guidelines import DiffLine, difference

AROUND = 3


@dataclass(frozen=True)
class Passage:
    """Neighbouring lines; `folded` when nothing in or near them has changed."""

    folded: bool
    lines: list[DiffLine]


def passages(older: str, newer: str) -> list[Passage] | None:
    """None where the texts are too long and too different to be compared: the page shows the new one."""
    lines = difference(older, newer)
    if lines is None:
        return None
    changed = [index for index, line in enumerate(lines) if line.kind != "same"]
    near = {index + step for index in changed for step in range(-AROUND, AROUND + 1)}
    grouped = groupby(enumerate(lines), key=lambda numbered: numbered[0] not in near)
    return [Passage(folded, [line for _index, line in part]) for folded, part in grouped]


def is_changed(parts: list[Passage] | None) -> bool:
    return parts is None or any(line.kind != "same" for part in parts for line in part.lines)
