"""Compiles the translations: .mo files are made from .po files with polib, since GNU gettext may not be installed."""

import logging
from collections.abc import Iterable
from pathlib import Path
from uuid import uuid4

import polib
from django.conf import settings

logger = logging.getLogger(__name__)


def compile_all(folders: Iterable[Path] | None = None) -> list[Path]:
    """Make every .mo file that is missing or older than its .po file; returns those that were made."""
    return [_compile(source) for source in stale(folders)]


def compile_or_warn() -> None:
    """For the start of every process: git keeps no .mo files, and a checkout that cannot be written stops nothing."""
    for source in stale():
        try:
            _compile(source)
        except (OSError, ValueError) as error:  # polib raises both for a file with a mistake
            logger.warning("%s cannot be made, pages may be in English: %s", source.with_suffix(".mo"), error)


def stale(folders: Iterable[Path] | None = None) -> list[Path]:
    """The .po files without a .mo file as new as they are."""
    folders = settings.LOCALE_PATHS if folders is None else folders
    sources = sorted(source for folder in folders for source in Path(folder).glob("*/LC_MESSAGES/*.po"))
    return [source for source in sources if _is_stale(source)]


def _is_stale(source: Path) -> bool:
    compiled = source.with_suffix(".mo")
    return not compiled.exists() or compiled.stat().st_mtime < source.stat().st_mtime


def _compile(source: Path) -> Path:
    """Renamed into place, under a name of its own until then: other processes may be reading and writing too, and in
    containers with one checkout they have the same number."""
    compiled = source.with_suffix(".mo")
    temporary = source.with_suffix(f".{uuid4().hex}.tmp")
    try:
        temporary.write_bytes(polib.pofile(str(source)).to_binary())
        temporary.replace(compiled)
    finally:
        temporary.unlink(missing_ok=True)
    return compiled
