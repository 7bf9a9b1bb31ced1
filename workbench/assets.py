"""Collects the static files when they have changed."""

import hashlib
from pathlib import Path

from django.conf import settings
from django.contrib.staticfiles.finders import get_finders
from django.core.management import call_command


def collect_when_changed() -> bool:
    """True when there was something to collect."""
    current = _fingerprint()
    if are_current(current):
        return False
    call_command("collectstatic", interactive=False, verbosity=0)
    _note().write_text(current)
    return True


def are_current(fingerprint: str | None = None) -> bool:
    return _note().exists() and _note().read_text() == (fingerprint or _fingerprint())


def _note() -> Path:
    return Path(settings.STATIC_ROOT) / ".collected-from"


def _fingerprint() -> str:
    """Names, sizes and times of all the sources; reading 5 MB of JavaScript at every start would be slower."""
    whole = hashlib.sha256()
    for finder in get_finders():
        for path, storage in finder.list([]):
            state = Path(storage.path(path)).stat()
            whole.update(f"{path} {state.st_size} {state.st_mtime_ns}\n".encode())
    return whole.hexdigest()
