"""Static files count as collected whoever collected them, `up` or the operator by hand, until a source changes."""

import os
from pathlib import Path

import pytest
from django.conf import LazySettings
from django.core.management import call_command

from workbench import assets, health

pytestmark = pytest.mark.not_db


@pytest.fixture
def source(tmp_path: Path, settings: LazySettings) -> Path:
    """A style sheet, and another below a prefix as plotly's script is, collected as in production."""
    folder = tmp_path / "sources"
    folder.mkdir()
    (folder / "style.css").write_text("p { color: red }")
    (folder / ".swap").write_text("what an editor leaves is not collected")
    vendor = tmp_path / "vendor"
    vendor.mkdir()
    (vendor / "theirs.css").write_text("p { color: green }")
    settings.STATICFILES_DIRS, settings.STATIC_ROOT = [folder, ("vendor", vendor)], tmp_path / "collected"
    settings.STATICFILES_FINDERS = ["django.contrib.staticfiles.finders.FileSystemFinder"]
    manifest = {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"}
    settings.STORAGES = {**settings.STORAGES, "staticfiles": manifest}
    return folder / "style.css"


def collect() -> None:
    call_command("collectstatic", interactive=False, verbosity=0)


def test_what_was_collected_by_hand_is_current(source: Path) -> None:
    assert health.static_files().state == "warn"
    collect()
    assert health.static_files().state == "ok"
    assert not assets.collect_when_changed()


def test_a_source_that_changed_or_came_is_collected_again(source: Path) -> None:
    assert assets.collect_when_changed()
    later = source.stat().st_mtime + 5
    source.write_text("p { color: blue }")
    os.utime(source, (later, later))
    assert health.static_files().state == "warn"
    os.utime(source, (later - 10, later - 10))
    source.with_name("more.css").write_text("q { color: red }")
    os.utime(source.with_name("more.css"), (0, 0))
    assert not assets.are_current(), "an old file may be new here"
    assert assets.collect_when_changed()
    assert not assets.collect_when_changed()


def test_files_that_were_only_half_collected_are_not_current(source: Path, settings: LazySettings) -> None:
    collect()
    (Path(settings.STATIC_ROOT) / "staticfiles.json").write_text('{"paths": ')
    assert not assets.are_current()
