"""Collects the static files when they have changed."""

import json
from collections.abc import Iterator
from pathlib import Path

from django.apps import apps
from django.conf import settings
from django.contrib.staticfiles.finders import get_finders
from django.core.management import call_command

MANIFEST = "staticfiles.json"


def collect_when_changed() -> bool:
    """True when there was something to collect."""
    if are_current():
        return False
    call_command("collectstatic", interactive=False, verbosity=0)
    return True


def are_current() -> bool:
    """The manifest, which `collectstatic` writes last, knows every source and is older than none; reading 5 MB of
    JavaScript at every start would be slower."""
    manifest = Path(settings.STATIC_ROOT) / MANIFEST
    try:
        known, collected = json.loads(manifest.read_text())["paths"], manifest.stat().st_mtime
    except (OSError, ValueError, KeyError):
        return False
    return all(name in known and source.stat().st_mtime <= collected for name, source in _sources())


def _sources() -> Iterator[tuple[str, Path]]:
    """Those that `collectstatic` takes, under the names that it gives them."""
    ignored = apps.get_app_config("staticfiles").ignore_patterns
    for finder in get_finders():
        for name, storage in finder.list(ignored):
            prefix = getattr(storage, "prefix", "")
            yield f"{prefix}/{name}" if prefix else name, Path(storage.path(name))
