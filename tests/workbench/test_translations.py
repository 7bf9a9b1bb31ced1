"""Translations are compiled without GNU gettext, when they have changed."""

import gettext
import os
from pathlib import Path

import pytest

from workbench.translations import compile_all

pytestmark = pytest.mark.not_db

SOURCE = """
msgid ""
msgstr "Content-Type: text/plain; charset=UTF-8\\nPlural-Forms: nplurals=1; plural=0;\\n"

msgid "Judge"
msgstr "评判"

#, fuzzy
msgid "Freeze"
msgstr "不确定"
"""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "zh_Hans" / "LC_MESSAGES"
    folder.mkdir(parents=True)
    path = folder / "django.po"
    path.write_text(SOURCE, encoding="utf-8")
    return path


def test_a_compiled_translation_is_read_by_gettext_and_a_fuzzy_one_is_not(source: Path, tmp_path: Path) -> None:
    assert compile_all([tmp_path]) == [source.with_suffix(".mo")]
    with source.with_suffix(".mo").open("rb") as file:
        catalogue = gettext.GNUTranslations(file)
    assert catalogue.gettext("Judge") == "评判"
    assert catalogue.gettext("Freeze") == "Freeze"


def test_only_what_has_changed_is_compiled_again(source: Path, tmp_path: Path) -> None:
    compile_all([tmp_path])
    assert compile_all([tmp_path]) == []
    later = source.with_suffix(".mo").stat().st_mtime + 5
    os.utime(source, (later, later))
    assert compile_all([tmp_path]) == [source.with_suffix(".mo")]
