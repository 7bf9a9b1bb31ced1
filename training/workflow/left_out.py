"""What a run has left out of its data and why: counted by reason, and every one listed."""

from collections.abc import Iterable, Iterator
from typing import Any

from django.utils.translation import gettext_noop

from annotate.lists import listed
from training.models import Run
from training.workflow.folders import folder_of
from training.workflow.tails import Tail
from training.workflow.told import in_readers_language

FILE = "left_out.jsonl"
MOST_REASONS = 8  # in a sentence
# What many rows have in common is said as one reason; the template is that of `training/ml/unusable.py`.
OF_MANY = {
    "too long: %(tokens)s tokens, at most %(most)s are allowed": gettext_noop("longer than %(most)s tokens"),
}
VARIES = "…"  # for a value that is another one in every row

Row = dict[str, Any]


def left_out_of(run: Run, manifest: Row) -> list[Row]:
    """As the process told before it began to train, so also of a run that failed; else as its result tells."""
    if skipped := run.result.get("skipped"):
        return list(skipped)
    return Tail(folder_of(run) / FILE).lines() or list((manifest.get("data") or {}).get("dropped") or [])


def why(row: Row) -> str:
    """In the reader's language."""
    return in_readers_language(str(row.get("why") or "?"), str(row.get("template") or ""), row.get("values"))


def named(rows: Iterable[Row]) -> Iterator[tuple[str, str]]:
    """Each one's id, and why."""
    return ((str(row.get("id", row.get("prompt", ""))), why(row)) for row in rows)


def reasons(rows: Iterable[Row]) -> list[tuple[str, int]]:
    """Each reason and how many rows it left out, the most frequent first; what differs within one is left open."""
    kinds: dict[str, list[Row]] = {}
    for row in rows:
        kinds.setdefault(str(row.get("template") or row.get("why") or "?"), []).append(row)
    found = [(why(_shared(same)), len(same)) for same in kinds.values()]
    return sorted(found, key=lambda one: -one[1])


def in_words(rows: Iterable[Row]) -> str:
    """`longer than 512 tokens (1912), the prompt is empty (3)`; one alone has no number."""
    found = reasons(rows)
    if len(found) == 1:
        return found[0][0]
    told = [f"{text} ({number})" for text, number in found[:MOST_REASONS]]
    return listed(told + [VARIES] * (len(found) > MOST_REASONS))


def _shared(rows: list[Row]) -> Row:
    first = rows[0]
    values = first.get("values") or {}
    same = {
        name: value if all((row.get("values") or {}).get(name) == value for row in rows) else VARIES
        for name, value in values.items()
    }
    shared = {**first, "values": same}
    if len(rows) > 1 and same.get("most", VARIES) != VARIES and (said := OF_MANY.get(str(first.get("template")))):
        shared["template"] = said
    return shared
