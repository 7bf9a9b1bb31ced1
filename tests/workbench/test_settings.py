"""What the settings make of their variables: threads and folders of a worker, and a database that is lost for good."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from tests.workbench.server import ROOT
from workbench.celery import app
from workbench.checks import SHORTEST_HEARTBEAT_TIMEOUT
from workbench.management.commands.up import worker_part

pytestmark = pytest.mark.not_db


def told(home: Path, code: str, **variables: str) -> Any:
    """What a fresh process with these variables prints as JSON; settings are read once, at its start."""
    kept = {key: value for key, value in os.environ.items() if key not in ("DATABASE_URL", "CELERY_BROKER_URL")}
    environment = {**kept, "PLUMBLINE_HOME": str(home), **variables}
    command = [sys.executable, "-c", f"import json\nfrom workbench.celery import app\n{code}"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=True)
    return json.loads(done.stdout)


def test_a_worker_has_a_thread_for_every_device_and_some_for_the_short_tasks(tmp_path: Path) -> None:
    devices = ",".join(f"gpu{number}" for number in range(8))
    code = "print(json.dumps(app.Worker(pool='threads').concurrency))"
    assert told(tmp_path, code, PLUMBLINE_DEVICE_SLOTS=devices) == 8 + 3


def test_the_worker_of_up_takes_the_number_of_its_threads_from_the_settings() -> None:
    assert "-c" not in worker_part().command


def test_what_beat_sends_is_not_kept_for_days_until_a_worker_comes() -> None:
    kept = {name: entry["options"]["expires"] for name, entry in app.conf.beat_schedule.items()}
    assert kept == {"expire-leases": 600, "reconcile-runs": 600}


def test_the_folder_of_beat_is_there_on_a_fresh_home_with_a_broker_of_its_own(tmp_path: Path) -> None:
    code = "from pathlib import Path; print(json.dumps(Path(app.conf.beat_schedule_filename).parent.is_dir()))"
    assert told(tmp_path / "home", code, CELERY_BROKER_URL="redis://127.0.0.1:1/0")
    assert (tmp_path / "home" / "run").stat().st_mode & 0o777 == 0o700


OPTIONS = "from django.conf import settings; print(json.dumps(settings.DATABASES['default']['OPTIONS']))"


def test_a_lost_database_host_is_noticed_well_before_a_worker_counts_as_lost(tmp_path: Path) -> None:
    options = told(tmp_path, OPTIONS, DATABASE_URL="postgres://u:p@db.example.org/plumbline?sslmode=require")
    assert options["sslmode"] == "require"
    silence = options["keepalives_idle"] + options["keepalives_interval"] * options["keepalives_count"]
    assert options["keepalives"] == 1
    for seconds in (options["connect_timeout"], silence, options["tcp_user_timeout"] / 1000):
        assert 0 < seconds < SHORTEST_HEARTBEAT_TIMEOUT <= settings.HEARTBEAT_TIMEOUT


def test_the_query_of_the_databases_url_has_the_last_word(tmp_path: Path) -> None:
    url = "postgres://u:p@db.example.org/plumbline?connect_timeout=40&keepalives=0"
    options = told(tmp_path, OPTIONS, DATABASE_URL=url)
    assert (options["connect_timeout"], options["keepalives"], options["keepalives_count"]) == (40, 0, 3)
