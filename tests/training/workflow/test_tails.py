"""What is read of a file that grows."""

import json
import tracemalloc
from pathlib import Path

from training.workflow.tails import Tail


def write(path: Path, *numbers: int, more: bytes = b"") -> None:
    with path.open("ab") as file:
        file.write(b"".join(json.dumps({"n": n, "text": "x" * 1000}).encode() + b"\n" for n in numbers) + more)


def numbers(tail: Tail, most: int | None = None) -> list[int]:
    return [line["n"] for line in tail.lines(most)]


def test_no_more_is_read_than_is_asked_for(tmp_path: Path) -> None:
    write(tmp_path / "rows.jsonl", *range(4000))
    tail = Tail(tmp_path / "rows.jsonl")
    tracemalloc.start()
    assert numbers(tail, 2) == [0, 1]
    _now, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 400_000, "of four million bytes"
    assert numbers(tail, 2) == [2, 3] and numbers(tail) == list(range(4, 4000)) and numbers(tail) == []


def test_a_stretch_of_spoilt_lines_is_not_taken_for_the_end(tmp_path: Path) -> None:
    write(tmp_path / "rows.jsonl", 1, more=b"half\n" * 5 + b"\n\xff\n")
    write(tmp_path / "rows.jsonl", 2, 3)
    tail = Tail(tmp_path / "rows.jsonl")
    assert numbers(tail, 1) == [1] and tail.spoilt == 0
    assert numbers(tail, 1) == [2] and tail.spoilt == 6
    assert numbers(tail, 5) == [3] and tail.spoilt == 6


def test_what_was_spoilt_in_a_file_that_was_replaced_counts_no_more(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    write(path, 1, more=b"half\n")
    tail = Tail(path)
    assert numbers(tail) == [1] and tail.spoilt == 1
    path.unlink()
    write(path, 2)
    assert numbers(tail) == [2]
    path.write_bytes(b"")
    assert numbers(tail) == [] and tail.spoilt == 0
