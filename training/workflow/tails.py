"""Reads what a child has appended to a file of JSON lines since the last look."""

import json
import os
from pathlib import Path
from typing import Any

from training.workflow.storable import storable


class Tail:
    """Remembers how far a file has been read. A file that was replaced or became shorter is read from its start."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.file = 0
        self.read = 0

    def lines(self, most: int | None = None) -> list[dict[str, Any]]:
        """The whole lines that have been added, at most so many; one that is still being written is left for later."""
        if not self.path.exists():
            return []
        with self.path.open("rb") as file:
            facts = os.fstat(file.fileno())
            if facts.st_ino != self.file or facts.st_size < self.read:
                self.file, self.read = facts.st_ino, 0
            file.seek(self.read)
            added = [line for line in file.readlines()[:most] if line.endswith(b"\n")]
        self.read += sum(map(len, added))
        return [storable(json.loads(line)) for line in added if line.strip()]


def text_tail(path: Path, most: int = 4000) -> str:
    """The end of a log, from the beginning of a line on."""
    if not path.exists():
        return ""
    size = path.stat().st_size
    with path.open("rb") as file:
        file.seek(max(0, size - most))
        text = storable(file.read().decode("utf-8", errors="replace"))
    return text if size <= most else text.partition("\n")[2]
