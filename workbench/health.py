"""What `manage.py doctor` looks at: one finding each, with the mend."""

import json
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from kombu.exceptions import OperationalError

from workbench import assets
from workbench.celery import app
from workbench.preflight import GIB, Room, room_on_disks, running_start
from workbench.translations import stale

OLDEST_POSTGRESQL = 140000
START = "start it with `python manage.py up`"


@dataclass(frozen=True)
class Finding:
    name: str
    state: Literal["ok", "warn", "fail"]
    message: str
    mend: str = ""


def examine() -> list[Finding]:
    """Every check, in the order in which things depend on one another."""
    checks: list[Callable[[], Finding]] = [
        python, database, migrations, broker, worker, disk, demo_model, gpu, secret_key, private_files, static_files,
        compiled_translations,
    ]  # fmt: skip
    return [check() for check in checks]


def python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info < (3, 11):  # noqa: UP036
        return Finding("python", "fail", version, "use Python 3.11 or newer")
    return Finding("python", "ok", version)


def database() -> Finding:
    try:
        connection.ensure_connection()
        if connection.vendor == "postgresql":
            return _postgresql(connection.pg_version)
        with connection.cursor() as cursor:
            mode = cursor.execute("PRAGMA journal_mode").fetchone()[0]
            version = cursor.execute("SELECT sqlite_version()").fetchone()[0]
    except (DatabaseError, ImproperlyConfigured) as error:
        return Finding("database", "fail", _first_line(error), "check DATABASE_URL and that the server is up")
    if mode not in ("wal", "memory"):
        return Finding(
            "database", "warn", f"SQLite {version}, journal {mode}", "put PLUMBLINE_HOME on a local disk: WAL needs one"
        )
    return Finding("database", "ok", f"SQLite {version}, {mode.upper()}, {connection.settings_dict['NAME']}")


def _postgresql(version: int) -> Finding:
    shown = f"PostgreSQL {version // 10000}.{version % 10000}"
    if version < OLDEST_POSTGRESQL:
        return Finding("database", "fail", shown, "use PostgreSQL 14 or newer")
    return Finding("database", "ok", shown)


def migrations() -> Finding:
    try:
        executor = MigrationExecutor(connection)
        missing = executor.migration_plan(executor.loader.graph.leaf_nodes())
    except (DatabaseError, ImproperlyConfigured):
        return Finding("migrations", "fail", "not known without a database", "mend the database first")
    if missing:
        return Finding("migrations", "fail", f"{len(missing)} not applied", "run `python manage.py migrate`")
    return Finding("migrations", "ok", "all applied")


def is_embedded() -> bool:
    return not os.environ.get("CELERY_BROKER_URL")


def broker() -> Finding:
    try:
        with app.connection_for_write() as link:
            link.ensure_connection(max_retries=1, interval_start=0, timeout=3)
            return Finding("broker", "ok", link.as_uri())
    except (OperationalError, OSError) as error:
        if is_embedded() and running_start(settings.HOME) is None:
            return Finding("broker", "warn", "the embedded broker is not running", START)
        return Finding(
            "broker", "fail", _first_line(error), "check CELERY_BROKER_URL, or restart `python manage.py up`"
        )


def worker() -> Finding:
    try:
        answers = app.control.ping(timeout=2.0, limit=None) if broker().state == "ok" else []
    except (OperationalError, OSError) as error:
        return Finding("worker", "fail", _first_line(error), "mend the broker first")
    if answers:
        return Finding("worker", "ok", ", ".join(sorted(name for answer in answers for name in answer)))
    if is_embedded() and running_start(settings.HOME) is None:
        return Finding("worker", "warn", "no worker is running", START)
    return Finding("worker", "fail", "no worker answers", f"read {settings.HOME / 'logs' / 'worker.log'}, or {START}")


def disk() -> Finding:
    """Home, runs and models may lie on disks of their own; the worst of them counts."""
    found = rooms()
    shown = ", ".join(f"{room.free / GIB:.1f} GiB free at {room.folder}" for room in found)
    if full := [room for room in found if room.free < room.needed]:
        mend = "; ".join(f"{room.needed / GIB:.1f} GiB are needed at {room.folder}" for room in full)
        return Finding("disk", "fail", shown, f"make room: {mend}")
    if any(room.free < 4 * room.needed for room in found):
        return Finding("disk", "warn", shown, "a round of training writes several hundred MB: make room")
    return Finding("disk", "ok", shown)


def rooms() -> list[Room]:
    folders = settings.HOME, settings.RUNS_DIR, settings.MODELS_DIR
    return room_on_disks(*folders, model_copy_exists=model_copy_exists(settings.MODELS_DIR))


def model_copy_exists(folder: Path) -> bool:
    """Has some GGUF file been converted already? A copy that is still being written has another ending."""
    return any(file.parent.suffix not in (".tmp", ".old") for file in folder.glob("*/*.safetensors"))


def demo_model() -> Finding:
    if model_copy_exists(settings.MODELS_DIR):
        return Finding("model", "ok", f"converted copy in {settings.MODELS_DIR}")
    return Finding("model", "warn", "no converted model yet", "`manage.py demo` makes one, and so does a run")


def gpu() -> Finding:
    """torch is asked in a child, and only where there is a device: this process must not load it."""
    program = shutil.which("nvidia-smi")
    listing = _output([program, "--query-gpu=name,memory.total", "--format=csv,noheader"]) if program else ""
    if not listing:
        return Finding("gpu", "ok", "none found: training and sampling run on the CPU")
    names = "; ".join(listing.splitlines())
    question = "import json, torch; print(json.dumps([torch.cuda.is_available(), torch.__version__]))"
    usable, version = json.loads(_output([sys.executable, "-c", question]) or '[false, "missing"]')
    if not usable:
        return Finding(
            "gpu",
            "warn",
            f"{names}; torch {version} does not see it",
            "install a CUDA build of torch: pip's default index has it for Linux (README)",
        )
    return Finding("gpu", "ok", f"{names}; torch {version}")


def secret_key() -> Finding:
    if os.environ.get("PLUMBLINE_SECRET_KEY"):
        return Finding("secret key", "ok", "from PLUMBLINE_SECRET_KEY")
    path = settings.HOME / "secret-key"
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        return Finding("secret key", "fail", f"{path} may be read by others (mode {mode:o})", f"chmod 600 {path}")
    return Finding("secret key", "ok", f"{path}, mode {mode:o}")


def private_files() -> Finding:
    """Sessions and tokens are in the database, passwords of the demo in the home."""
    home = Path(settings.HOME)
    paths = [home]
    if connection.vendor == "sqlite":
        database = Path(connection.settings_dict["NAME"])
        # Nobody reads a file in a folder that nobody may enter.
        paths += [database] if _others_may(database.parent) else []
    shown = [f"{path} (mode {stat.S_IMODE(path.stat().st_mode):o})" for path in paths if _others_may(path)]
    if not shown:
        return Finding("private files", "ok", f"{home} is its owner's alone")
    mends = [f"chmod go= {path}" if path == home else f"chmod go= {path}*" for path in paths if _others_may(path)]
    return Finding("private files", "warn", f"others may read {' and '.join(shown)}", "; ".join(mends))


def _others_may(path: Path) -> bool:
    return path.exists() and bool(path.stat().st_mode & 0o077)


def static_files() -> Finding:
    if assets.are_current():
        return Finding("static files", "ok", str(settings.STATIC_ROOT))
    return Finding(
        "static files",
        "warn",
        "missing or older than their sources",
        "`up` collects them, or `manage.py collectstatic`",
    )


def compiled_translations() -> Finding:
    """Every start makes them, this one too."""
    missing = [str(source.with_suffix(".mo")) for source in stale()]
    if not missing:
        return Finding("translations", "ok", "compiled")
    return Finding(
        "translations",
        "warn",
        f"missing or older than their sources: {', '.join(missing)}",
        "run `manage.py doctor` once as a user who may write there, or read what it logs",
    )


def _output(command: list[str]) -> str:
    """Empty when the command fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
