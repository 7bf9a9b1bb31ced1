"""Keeps samples.jsonl: which responses are there, so that a resumed run draws only those that are not."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from training.ml.progress import append, drop_torn_line, read_lines, rewrite


class Samples:
    """All responses of one model to one prompt are a group, written at once; a group is there or not."""

    def __init__(self, directory: Path, per_prompt: int) -> None:
        self.path = directory / "samples.jsonl"
        self.per_prompt = per_prompt
        drop_torn_line(self.path)
        groups: dict[tuple[Any, str], list[dict[str, Any]]] = {}
        for row in read_lines(self.path):
            groups.setdefault((row["prompt"], row["model"]), []).append(row)
        whole = {key: rows for key, rows in groups.items() if len(rows) == per_prompt}
        if len(whole) < len(groups):
            rewrite(self.path, [row for rows in whole.values() for row in rows])
        self.done = set(whole)

    def add(self, rows: list[dict[str, Any]]) -> None:
        append(self.path, rows)
        self.done.add((rows[0]["prompt"], rows[0]["model"]))

    def all(self) -> list[dict[str, Any]]:
        return list(read_lines(self.path))


def sample_seed(seed: int, prompt: int | str, model: str, index: int) -> int:
    """The seed of one response: it depends on nothing but these, so a prompt gets the same draws in any batch. 48 bits,
    which every database and JSON reader holds exactly."""
    digest = hashlib.sha256(f"{seed}\n{prompt}\n{model}\n{index}".encode()).digest()
    return int.from_bytes(digest[:6], "big")
