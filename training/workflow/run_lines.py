"""The lines that a training process has written of its progress, read for page, file and API: what is new, the numbers,
and the texts among them."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from training.recipes.json_lines import parsed
from training.recipes.storable import storable

# One answer carries at most this much of the file, or one longer line; the page asks again at once for the rest.
LARGEST_PIECE = 512 * 1024
# Lines with numbers of the curves.
NUMBERS = ("step", "eval")
MARK = b'"samples"'


def read_rows(path: Path, after: int, file: str = "") -> dict[str, Any]:
    """Whole lines of a JSONL file from byte `after` on: rows, offset, file, more, restarted.

    A resumed run replaces the file by a shorter one. `file` names the file that the reader's offset belongs to:
    when it is another one by now, reading starts over (`restarted`), and the reader drops what it has.
    """
    try:
        opened = path.open("rb")
    except FileNotFoundError:
        return {"rows": [], "offset": 0, "file": "", "more": False, "restarted": bool(file)}
    with opened:
        facts = os.fstat(opened.fileno())
        restarted = after > facts.st_size or file not in ("", str(facts.st_ino))
        opened.seek(0 if restarted else after)
        piece = opened.read(LARGEST_PIECE)
        if len(piece) == LARGEST_PIECE and b"\n" not in piece:  # samples of long texts are a line: never half of it
            piece += opened.readline()
        whole = piece[: piece.rfind(b"\n") + 1]
        offset = opened.tell() - len(piece) + len(whole)
        # A longer line that is still being written is nothing to ask for at once.
        more = len(piece) >= LARGEST_PIECE and bool(whole)
    return {"rows": parse(whole), "offset": offset, "file": str(facts.st_ino), "more": more, "restarted": restarted}


def parse(lines: bytes) -> list[dict[str, Any]]:
    """The objects in the lines; a line that is none (a disk that was full) is left out, the curve goes on. Where a
    number is none, it has a gap."""
    return [row for line in lines.split(b"\n") if (row := parsed(line, finite=True)) is not None]


def flat_rows(path: Path) -> Iterator[dict[str, Any]]:
    """The lines with numbers, their metrics beside the rest."""
    if not path.exists():
        return
    with path.open("rb") as file:
        for line in file:
            for row in parse(line):
                if row.get("kind") in NUMBERS:
                    metrics = row.pop("metrics", None)
                    yield row | (metrics if isinstance(metrics, dict) else {})


def sample_lines(path: Path) -> list[dict[str, Any]]:
    """Only the lines that may be of this kind are parsed: the others are many."""
    if not path.exists():
        return []
    with path.open("rb") as file:
        found = b"".join(line for line in file if MARK in line and line.endswith(b"\n"))
    return [row for row in map(storable, parse(found)) if row.get("kind") == "samples" and _is_whole(row)]


def _is_whole(row: dict[str, Any]) -> bool:
    samples = row.get("samples")
    return isinstance(samples, list) and all(
        isinstance(sample, dict) and isinstance(sample.get("text"), str) and isinstance(sample.get("prompt"), list)
        for sample in samples
    )
