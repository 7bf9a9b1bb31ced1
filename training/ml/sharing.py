"""Which part of a step each of several processes computes; together they compute it all, once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from training.ml import together

STAND_IN = -1  # the position of a batch that is computed for company


def shares(batches: Sequence[Sequence[Any]], by_item: bool, alike: bool = False) -> list[tuple[int, Sequence[Any]]]:
    """This process's batches of a step, each with its position in it.

    Whole batches are dealt out in turn: an objective that looks at its whole batch then sees what it would see in one
    process. Where they do not come out even, batches whose items are judged each by itself (`by_item`) are cut up, and
    nobody waits for the others; any other objective leaves some processes idle for a while. If the processes must do
    everything `alike`, as parts of one model must, those with less to do compute something that counts for nothing.
    """
    each = [_share(batches, by_item, number) for number in range(together.count())]
    own = each[together.number()]
    missing = max(map(len, each)) - len(own) if alike else 0
    return own + [(STAND_IN, batches[0])] * missing


def _share(batches: Sequence[Sequence[Any]], by_item: bool, number: int) -> list[tuple[int, Sequence[Any]]]:
    count = together.count()
    if not by_item or len(batches) % count == 0:
        return list(enumerate(batches))[number::count]
    # The first piece goes to another process each time: of batches smaller than their number all get some.
    pieces = [(position, batch[(number + position) % count :: count]) for position, batch in enumerate(batches)]
    return [(position, piece) for position, piece in pieces if piece]
