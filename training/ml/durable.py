"""Puts a directory or a file in place by rename: whole or not there, whatever kills the process."""

from __future__ import annotations

import os
import shutil
from pathlib import Path


def fresh(target: Path) -> Path:
    """An empty `target.tmp` beside it, to be filled and then given to `swap_in`."""
    temporary = target.with_name(target.name + ".tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    return temporary


def swap_in(temporary: Path, target: Path) -> None:
    """Flush `temporary` to disk and rename it to `target`; an older `target` is kept until the new one is whole."""
    flush(temporary)
    old = target.with_name(target.name + ".old")
    if target.exists():
        shutil.rmtree(old, ignore_errors=True)
        os.rename(target, old)
    os.rename(temporary, target)
    _flush_one(target.parent)
    shutil.rmtree(old, ignore_errors=True)


def settle(target: Path) -> bool:
    """Put back what a kill between the two renames of `swap_in` left behind; True if `target` is there now."""
    old = target.with_name(target.name + ".old")
    if old.exists() and not target.exists():
        os.rename(old, target)
    shutil.rmtree(old, ignore_errors=True)
    shutil.rmtree(target.with_name(target.name + ".tmp"), ignore_errors=True)
    return target.exists()


def whole(target: Path, text: str, by: Path | None = None) -> None:
    """Write `text` into the file `target`, whose older content is kept until the new one is on the disk; `by` is
    where it is written first, beside it unless said."""
    temporary = by or target.with_name(target.name + ".tmp")
    temporary.write_text(text, encoding="utf-8")
    _flush_one(temporary)
    os.replace(temporary, target)
    _flush_one(target.parent)


def flush(directory: Path) -> None:
    """fsync every file and directory below `directory`: after a power cut a renamed directory has its content."""
    for path in sorted(directory.rglob("*")):
        _flush_one(path)
    _flush_one(directory)


def _flush_one(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
