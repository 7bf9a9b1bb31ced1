"""Translations are compiled without GNU gettext, when they have changed."""

import gettext
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import LazySettings

from tests.workbench.server import ROOT, environment
from workbench import health, translations
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


SPEAKS = "from django.utils.translation import gettext, override\nwith override('zh-hans'): print(gettext('Sign in'))"
STARTS = {
    "web": "import workbench.wsgi",
    "worker": "from workbench.celery import app; app.loader.import_default_modules()",
}


@pytest.mark.parametrize("start", STARTS)
def test_a_checkout_without_compiled_translations_speaks_chinese_from_its_first_start(
    tmp_path: Path, start: str
) -> None:
    """As gunicorn and celery start it by hand: git keeps no .mo files, and nobody has run `up`."""
    leave_out = shutil.ignore_patterns("*.mo", "__pycache__", "node_modules")
    for room in ("annotate", "training", "workbench", "templates", "locale"):
        shutil.copytree(ROOT / room, tmp_path / room, ignore=leave_out)
    (tmp_path / "static").mkdir()
    assert not list(tmp_path.rglob("locale/**/*.mo"))
    command = [sys.executable, "-c", f"{STARTS[start]}\n{SPEAKS}"]
    started = {**environment(tmp_path / "home"), "PYTHONIOENCODING": "utf-8"}
    done = subprocess.run(command, cwd=tmp_path, env=started, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "登录"


def test_several_processes_that_compile_at_once_leave_one_whole_file(source: Path, tmp_path: Path) -> None:
    code = "import sys; from workbench.translations import compile_all; compile_all([sys.argv[1]])"
    command = [sys.executable, "-c", code, str(tmp_path)]
    started = [subprocess.Popen(command, cwd=ROOT) for _ in range(3)]
    assert [process.wait(timeout=60) for process in started] == [0, 0, 0]
    assert sorted(file.name for file in source.parent.iterdir()) == ["django.mo", "django.po"]
    with source.with_suffix(".mo").open("rb") as file:
        assert gettext.GNUTranslations(file).gettext("Judge") == "评判"


def test_where_none_can_be_written_the_start_goes_on_and_log_and_doctor_say_so(
    source: Path, tmp_path: Path, settings: LazySettings, caplog: pytest.LogCaptureFixture
) -> None:
    """A folder in the file's place refuses even root, whom a read-only mode would not stop."""
    settings.LOCALE_PATHS = [tmp_path]
    source.with_suffix(".mo").mkdir()
    os.utime(source.with_suffix(".mo"), (0, 0))
    translations.compile_or_warn()
    assert "django.mo" in caplog.text and "English" in caplog.text
    finding = health.compiled_translations()
    assert (finding.state, finding.message) == (
        "warn",
        f"missing or older than their sources: {source.with_suffix('.mo')}",
    )
    assert not list(source.parent.glob("*.tmp"))
    source.with_suffix(".mo").rmdir()
    translations.compile_or_warn()
    assert health.compiled_translations().state == "ok"


def test_a_source_with_a_mistake_keeps_no_start_from_going_on(
    source: Path, tmp_path: Path, settings: LazySettings
) -> None:
    settings.LOCALE_PATHS = [tmp_path]
    source.write_bytes(b'msgid "Judge\nmsgstr \xff')
    translations.compile_or_warn()
    assert health.compiled_translations().state == "warn"
