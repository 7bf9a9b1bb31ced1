"""Compiles the translations: .mo files are made from .po files with polib, since GNU gettext may not be installed."""

import os
from collections.abc import Iterable
from pathlib import Path

import polib
from django.conf import settings


def compile_all(folders: Iterable[Path] | None = None) -> list[Path]:
    """Make every .mo file that is missing or older than its .po file; returns those that were made."""
    folders = settings.LOCALE_PATHS if folders is None else folders
    sources = sorted(source for folder in folders for source in Path(folder).glob("*/LC_MESSAGES/*.po"))
    return [_compile(source) for source in sources if _is_stale(source)]


def _is_stale(source: Path) -> bool:
    compiled = source.with_suffix(".mo")
    return not compiled.exists() or compiled.stat().st_mtime < source.stat().st_mtime


def _compile(source: Path) -> Path:
    """Renamed into place: another process may be reading."""
    compiled = source.with_suffix(".mo")
    temporary = source.with_suffix(f".{os.getpid()}.tmp")
    temporary.write_bytes(polib.pofile(str(source)).to_binary())
    temporary.replace(compiled)
    return compiled
