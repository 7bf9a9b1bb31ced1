"""Lines of JSON, an object each: the training process appends them, and web, worker and trackers read them.

All of them read a line by what stands here. One that a full disk or a lost mount has spoilt ends nobody's reading."""

import json
from typing import Any


def parsed(line: bytes) -> dict[str, Any] | None:
    """The object in a line; None if it holds none."""
    try:
        row = json.loads(line)
    except ValueError:
        return None
    return row if isinstance(row, dict) else None
