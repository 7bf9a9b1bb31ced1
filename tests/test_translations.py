"""English and Simplified Chinese are both complete: a string without a translation fails here."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import polib
import pytest
from django.conf import settings

LOCALE = "zh_Hans"
PLACEHOLDER = re.compile(r"%\(\w+\)[sd]|%[sd]|\{\w*\}")


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> polib.POFile:
    """The catalogue as `makemessages` would write it from the sources as they are now."""
    if shutil.which("xgettext") is None:
        if os.environ.get("CI"):
            pytest.fail("GNU gettext is missing: apt-get install gettext")
        pytest.skip("GNU gettext is not installed, so the strings cannot be collected (CI does it)")
    copy = tmp_path_factory.mktemp("sources")
    for room in ("annotate", "training", "workbench", "templates", "locale"):
        shutil.copytree(settings.BASE_DIR / room, copy / room, ignore=shutil.ignore_patterns("__pycache__", "*.mo"))
    command = [sys.executable, "-m", "django", "makemessages", "--locale", LOCALE, "--no-location", "--no-obsolete"]
    subprocess.run(command, cwd=copy, check=True, capture_output=True, env={**os.environ, "DJANGO_SETTINGS_MODULE": ""})
    return polib.pofile(str(copy / "locale" / LOCALE / "LC_MESSAGES" / "django.po"))


def test_every_string_has_a_chinese_translation(catalogue: polib.POFile) -> None:
    missing = [entry.msgid for entry in catalogue if not entry.translated()]
    assert len(catalogue) > 100
    assert not missing


def test_translations_keep_their_placeholders(catalogue: polib.POFile) -> None:
    for entry in catalogue:
        for text in entry.msgstr_plural.values() if entry.msgid_plural else [entry.msgstr]:
            wanted = set(PLACEHOLDER.findall(entry.msgid_plural or entry.msgid))
            assert set(PLACEHOLDER.findall(text)) == wanted, entry.msgid


def test_the_committed_catalogue_compiles() -> None:
    for source in Path(settings.BASE_DIR / "locale").glob("*/LC_MESSAGES/*.po"):
        assert polib.pofile(str(source)).to_binary()
