"""Lines of JSON, an object each: the training process appends them, and web, worker and trackers read them.

All of them read a line by what stands here. One that a full disk or a lost mount has spoilt ends nobody's reading."""

import json
from typing import Any


def parsed(line: bytes, *, finite: bool = False) -> dict[str, Any] | None:
    """The object in a line; None if it holds none. With `finite` NaN and Infinity, which Python writes and no browser
    reads, are None."""
    try:
        row = json.loads(line, parse_constant=_nothing if finite else None)
    except ValueError:
        return None
    return row if isinstance(row, dict) else None


def _nothing(_name: str) -> None:
    return None
