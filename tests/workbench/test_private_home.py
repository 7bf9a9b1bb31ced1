"""What the workbench writes is its owner's: the folder that it makes, and a database that stands elsewhere."""

import stat
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from django.conf import LazySettings

from tests.workbench.server import ROOT, environment
from workbench import health
from workbench.secrets import make_private

pytestmark = pytest.mark.not_db  # SQLite's file, whatever the suite has
OPEN = (
    "import os, django; os.umask(0o022); django.setup();"
    "from django.db import connection as c;"
    "c.cursor().execute('CREATE TABLE t (x)'); print(c.settings_dict['NAME'], end='')"
)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def started(home: Path, **more: str) -> Path:
    """A process that uses the database; where that lies."""
    variables = {**environment(home), "DJANGO_SETTINGS_MODULE": "workbench.settings", **more}
    command = ["sh", "-c", 'umask 022; exec "$0" -c "$1"', sys.executable, OPEN]
    done = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True, check=True)
    return Path(done.stdout)


def test_a_home_that_is_made_and_the_database_in_it_are_its_owners(tmp_path: Path) -> None:
    database = started(tmp_path / "home")
    assert (mode(tmp_path / "home"), mode(database)) == (0o700, 0o600)


def test_a_home_that_is_there_keeps_its_mode_and_the_database_is_private_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home").chmod(0o755)
    database = started(tmp_path / "home")
    assert (mode(tmp_path / "home"), mode(database)) == (0o755, 0o600)


def test_a_database_file_of_the_operators_own_choice_is_private_too(tmp_path: Path) -> None:
    database = started(tmp_path / "home", DATABASE_URL=f"sqlite:///{tmp_path / 'mine.sqlite3'}")
    assert database == tmp_path / "mine.sqlite3" and mode(database) == 0o600


def test_a_file_that_is_there_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "database"
    path.write_text("rows")
    path.chmod(0o640)
    make_private(path)
    assert (path.read_text(), mode(path)) == ("rows", 0o640)


def test_what_is_no_file_is_not_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in (":memory:", "file:x?mode=memory", "no/such/folder/database"):
        make_private(Path(name))
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def database(tmp_path: Path, settings: LazySettings, monkeypatch: pytest.MonkeyPatch) -> Path:
    settings.HOME = tmp_path / "home"
    settings.HOME.mkdir(mode=0o700)
    path = settings.HOME / "plumbline.sqlite3"
    path.touch(0o644)
    path.chmod(0o644)
    connect(monkeypatch, "sqlite", path)
    return path


def connect(monkeypatch: pytest.MonkeyPatch, vendor: str, name: object) -> None:
    monkeypatch.setattr(health, "connection", SimpleNamespace(vendor=vendor, settings_dict={"NAME": str(name)}))


def test_nobody_reads_a_file_in_a_folder_that_nobody_may_enter(database: Path) -> None:
    assert health.private_files().state == "ok"


def test_the_doctor_warns_of_a_home_that_others_may_enter(database: Path) -> None:
    database.parent.chmod(0o755)
    finding = health.private_files()
    assert finding.state == "warn"
    assert f"{database.parent} (mode 755)" in finding.message and f"{database} (mode 644)" in finding.message
    for command in finding.mend.split("; "):
        subprocess.run(command, shell=True, check=True)
    assert health.private_files().state == "ok"
    assert (mode(database.parent), mode(database)) == (0o700, 0o600)


def test_the_doctor_warns_of_a_database_elsewhere(
    database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o755)
    elsewhere = tmp_path / "open" / "elsewhere.sqlite3"
    elsewhere.touch()
    elsewhere.chmod(0o644)
    connect(monkeypatch, "sqlite", elsewhere)
    assert health.private_files().mend == f"chmod go= {elsewhere}*"
    elsewhere.chmod(0o600)
    assert health.private_files().state == "ok"


def test_a_server_has_locks_of_its_own(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    connect(monkeypatch, "postgresql", "plumbline")
    assert health.private_files().state == "ok"
