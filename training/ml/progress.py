"""Writes progress.jsonl: what the run is doing, one JSON object a line, for whoever follows it."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from training.ml import launched
from training.ml.memory import memory_in_use
from training.recipes.json_lines import parsed


class Progress:
    """Appends to `directory/progress.jsonl`; every line is flushed, and has time, kind and stage. Of several processes
    the first one tells, the others keep silent."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "progress.jsonl"
        self.tells = launched.is_first()
        if self.tells:
            drop_torn_line(self.path)

    def status(self, stage: str, **more: Any) -> None:
        """A new stage has begun: loading, converting, sampling, training, evaluating or saving."""
        self._write("status", stage, more)

    def step(self, stage: str, *, step: int, steps: int, **more: Any) -> None:
        """`more`: epoch, metrics, tokens_per_second (real tokens, without padding), eta_seconds. The memory in use
        is written beside them."""
        self._write("step", stage, {"step": step, "steps": steps, **more, **memory_in_use()})

    def evaluation(self, *, metrics: dict[str, Any], stage: str = "evaluating", **more: Any) -> None:
        """A line of kind "eval": metrics on held-out data; `more`: step, epoch."""
        self._write("eval", stage, {"metrics": metrics, **more})

    def samples(self, step: int, rows: list[dict[str, Any]], stage: str = "training") -> None:
        """A line of kind "samples": what the policy writes by now; rows of {"prompt": messages, "text", "reward"}."""
        self._write("samples", stage, {"step": step, "samples": rows})

    def has_samples(self, step: int, stage: str = "training") -> bool:
        """Whether `samples` has been told of this step, in this run or before it was resumed."""
        lines = read_lines(self.path)
        return any((line["kind"], line["stage"], line.get("step")) == ("samples", stage, step) for line in lines)

    def left_out(self, rows: list[dict[str, Any]]) -> None:
        """Every example that is not used and why, in a file of its own: told before training, whatever comes of it."""
        if self.tells:
            rewrite(self.path.with_name("left_out.jsonl"), rows)

    def truncate_after(self, step: int, stage: str = "training") -> None:
        """Drop the stage's lines after `step`: a resumed run writes them again, and the curve has no doubles."""
        if not self.tells:
            return
        kept = [line for line in read_lines(self.path) if not (line["stage"] == stage and line.get("step", 0) > step)]
        rewrite(self.path, kept)

    def _write(self, kind: str, stage: str, more: dict[str, Any]) -> None:
        if self.tells:
            append(self.path, [{"time": time.time(), "kind": kind, "stage": stage, **more}])


def append(path: Path, rows: list[dict[str, Any]]) -> None:
    """All rows in one write, so that a reader or a kill sees them together or, at worst, a torn last line."""
    text = "".join(_line(row) for row in rows)
    with path.open("a", encoding="utf-8") as file:
        file.write(text)


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The objects in the whole lines of a JSONL file of ours; nothing if it does not exist. A spoilt line is left out:
    who supervises the run counts them."""
    if not path.exists():
        return
    with path.open("rb") as file:
        for line in file:
            if line.endswith(b"\n") and (row := parsed(line)) is not None:
                yield row


def rewrite(path: Path, rows: list[dict[str, Any]]) -> None:
    """Replace the file as a whole: a kill leaves the old one or the new one."""
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text("".join(_line(row) for row in rows), encoding="utf-8")
    os.replace(temporary, path)


def drop_torn_line(path: Path) -> None:
    """After kill -9 the last line may be half there; the next one must not be glued to it."""
    if not path.exists():
        return
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        os.truncate(path, whole)


def eta_seconds(*, done: float, total: float, seconds: float) -> float | None:
    """Time left at the pace so far, for `done` units of work in `seconds`; None before the first one."""
    return round((total - done) * seconds / done, 1) if done > 0 else None


def _line(row: dict[str, Any]) -> str:
    # ASCII: a model may write U+2028 or U+0085, which many readers take for the end of a line.
    return json.dumps(_finite(row), ensure_ascii=True, allow_nan=False) + "\n"


def _finite(value: Any) -> Any:
    """NaN and infinity are no JSON: a browser could not read them. They become null."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
