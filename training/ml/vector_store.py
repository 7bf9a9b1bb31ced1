"""Keeps a row of numbers for each text in a folder of Parquet parts, shared by runs that may write at the same time."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Set
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import pyarrow
import pyarrow.compute
import pyarrow.parquet
import torch
from torch import Tensor

from training.ml import cancel, together
from training.ml.progress import eta_seconds

SECONDS = 60.0  # what a kill can cost, at most
TOLD_EVERY = 3.0  # seconds
Text = TypeVar("Text")


class VectorStore:
    """One folder for one model; `column` names what is kept of a text in it. Every writer adds parts of its own and
    never touches another's, so two runs at once do at worst the same work twice; a part is renamed into place whole,
    and one that cannot be read counts for nothing.
    """

    def __init__(self, folder: Path, column: str) -> None:
        self.folder, self.column = folder, column
        self.schema = pyarrow.schema([("key", pyarrow.string()), (column, pyarrow.list_(pyarrow.float32()))])

    def fill(
        self,
        wanted: Mapping[str, Text],
        compute: Callable[[list[Text]], list[Tensor]],
        in_batches: Callable[[list[Text]], list[list[int]]],
        tell: Callable[[dict[str, Any]], None],
    ) -> tuple[dict[str, Tensor], dict[str, int]]:
        """All of the wanted texts by key, each [numbers] in float32: from the store, or computed now, `in_batches` of
        positions. Also how many were {"computed", "reused"}. What is computed is stored even if the run is cancelled in
        the midst of it. Several processes compute a share each, and read the others' from the store.

        `tell` is given these counts under "counts" before the work begins, and then every few seconds with "step" of
        "steps" texts and "eta_seconds"."""
        known = self.read(wanted.keys())
        missing = [(key, text) for key, text in wanted.items() if key not in known]
        counts = {"computed": len(missing), "reused": len(wanted) - len(missing)}
        tell({"counts": counts})
        together.meet()  # all of them have read: nobody takes for known what another has just begun to write
        with self.writing() as keep:
            batches = list(together.share(in_batches([text for _, text in missing])))
            pace = _Pace(sum(map(len, batches)), lambda more: tell({"counts": counts, **more}))
            for positions in batches:
                cancel.check()
                batch = [missing[position] for position in positions]
                for (key, _), values in zip(batch, compute([text for _, text in batch]), strict=True):
                    known[key] = values.float().cpu()
                    keep(key, values.tolist())
                pace.done(len(positions))
        together.meet()
        others = wanted.keys() - known.keys()
        return known | self.read(others) if others else known, counts

    def read(self, wanted: Set[str]) -> dict[str, Tensor]:
        """Those of the wanted keys that are there, each [numbers] in float32."""
        found: dict[str, Tensor] = {}
        for path in sorted(self.folder.glob("*.parquet")):
            table = self._part(path)
            if table is None:
                continue
            rows = table.filter(pyarrow.compute.is_in(table["key"], pyarrow.array(list(wanted), pyarrow.string())))
            for key, values in zip(rows["key"].to_pylist(), rows[self.column], strict=True):
                found[key] = torch.tensor(values.values.to_numpy(), dtype=torch.float32)
        return found

    @contextmanager
    def writing(self) -> Iterator[Callable[[str, list[float]], None]]:
        """A function that keeps one text; what it was given is on disk after a minute, and in any case at the end."""
        keys: list[str] = []
        values: list[list[float]] = []
        written = time.monotonic()

        def keep(key: str, numbers: list[float]) -> None:
            nonlocal written
            keys.append(key)
            values.append(numbers)
            if time.monotonic() - written > SECONDS:
                flush()
                written = time.monotonic()

        def flush() -> None:
            if keys:
                self._write(pyarrow.table({"key": keys, self.column: values}, schema=self.schema))
                keys.clear()
                values.clear()

        try:
            yield keep
        finally:
            flush()

    def _write(self, table: pyarrow.Table) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        name = uuid.uuid4().hex
        temporary = self.folder / f"{name}.tmp"
        with temporary.open("wb") as file:
            pyarrow.parquet.write_table(table, file, write_page_checksum=True)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, self.folder / f"{name}.parquet")

    def _part(self, path: Path) -> pyarrow.Table | None:
        """None for a file that is torn or damaged (its pages carry checksums): its texts are computed again."""
        try:
            table = pyarrow.parquet.read_table(path, page_checksum_verification=True)
        except (OSError, pyarrow.ArrowException):
            return None
        return table if table.schema.equals(self.schema) else None


class _Pace:
    """Tells how far a share of the texts is, and when it will be done."""

    def __init__(self, texts: int, tell: Callable[[dict[str, Any]], None]) -> None:
        self.texts, self.tell = texts, tell
        self.computed = 0
        self.began = self.told = time.monotonic()

    def done(self, texts: int) -> None:
        self.computed += texts
        now = time.monotonic()
        if now - self.told < TOLD_EVERY:
            return
        self.told = now
        left = eta_seconds(done=self.computed, total=self.texts, seconds=now - self.began)
        self.tell({"step": self.computed, "steps": self.texts, "eta_seconds": left})
