"""Reads what a child has appended to a file of JSON lines since the last look."""

import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

from training.recipes.json_lines import parsed
from training.recipes.storable import storable


class Tail:
    """Remembers how far a file has been read. A file that was replaced or became shorter is read from its start.
    `spoilt` counts the lines of the file that hold no object, and are left out."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.file = 0
        self.read = 0
        self.spoilt = 0
        self.before = (0, 0)

    def lines(self, most: int | None = None) -> list[dict[str, Any]]:
        """The objects in the whole lines that have been added, at most so many, and no more of the file is read for
        them; a line that is still being written is left for later."""
        if not self.path.exists():
            return []
        with self.path.open("rb") as file:
            facts = os.fstat(file.fileno())
            if facts.st_ino != self.file or facts.st_size < self.read:
                self.file, self.read, self.spoilt = facts.st_ino, 0, 0
            self.before = (self.read, self.spoilt)
            file.seek(self.read)
            try:
                return list(islice(self._objects(file), most))
            except OSError:  # in the midst of them
                self.give_back()
                raise

    def give_back(self) -> None:
        """What was read last is read again: it could not be stored, or not be read to its end."""
        self.read, self.spoilt = self.before

    def _objects(self, file: BinaryIO) -> Iterator[dict[str, Any]]:
        for line in file:
            if not line.endswith(b"\n"):
                return
            self.read += len(line)
            if (row := parsed(line)) is not None:
                yield storable(row)
            elif line.strip():
                self.spoilt += 1


def text_tail(path: Path, most: int = 4000) -> str:
    """The end of a log, from the beginning of a line on."""
    if not path.exists():
        return ""
    size = path.stat().st_size
    with path.open("rb") as file:
        file.seek(max(0, size - most))
        text = storable(file.read().decode("utf-8", errors="replace"))
    return text if size <= most else text.partition("\n")[2]
