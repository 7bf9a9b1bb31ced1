"""What `manage.py doctor` says of a home, and what the health address answers."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import LazySettings
from django.test import Client

from tests.workbench.server import ROOT, manage
from workbench import health, preflight


@pytest.mark.django_db
def test_the_health_address_answers_without_an_account(client: Client) -> None:
    answer = client.get("/healthz")
    assert (answer.status_code, answer.content) == (200, b"ok")
    assert "no-cache" in answer["Cache-Control"]
    assert client.post("/healthz").status_code == 405


@pytest.mark.django_db
def test_the_database_of_the_tests_is_found_well() -> None:
    assert health.database().state == "ok"
    assert health.migrations().state == "ok"


def test_a_secret_that_others_can_read_is_a_failure_with_its_mend(
    tmp_path: Path, settings: LazySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PLUMBLINE_SECRET_KEY", raising=False)
    settings.HOME = tmp_path
    path = tmp_path / "secret-key"
    path.write_text("x" * 50)
    path.chmod(0o644)
    finding = health.secret_key()
    assert (finding.state, finding.mend) == ("fail", f"chmod 600 {path}")
    path.chmod(0o600)
    assert health.secret_key().state == "ok"


def test_a_copy_that_is_still_being_written_does_not_count(tmp_path: Path) -> None:
    unfinished = tmp_path / "model-1.tmp"
    unfinished.mkdir()
    (unfinished / "model.safetensors").touch()
    assert not health.model_copy_exists(tmp_path)
    unfinished.rename(tmp_path / "model-1")
    assert health.model_copy_exists(tmp_path)


def test_the_disk_that_the_model_copy_goes_to_is_the_one_that_is_measured(
    tmp_path: Path, settings: LazySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.HOME, settings.RUNS_DIR, settings.MODELS_DIR = tmp_path / "home", tmp_path / "home", tmp_path / "models"
    monkeypatch.setattr(preflight, "_disk_of", lambda folder: len(folder.name))
    monkeypatch.setattr(preflight, "_free_at", lambda folder: 10**12 if folder.name == "home" else 10**8)
    finding = health.disk()
    assert finding.state == "fail"
    assert finding.message == f"931.3 GiB free at {tmp_path / 'home'}, 0.1 GiB free at {tmp_path / 'models'}"
    assert finding.mend == f"make room: 0.6 GiB are needed at {tmp_path / 'models'}"
    (tmp_path / "models" / "model-1").mkdir(parents=True)
    (tmp_path / "models" / "model-1" / "model.safetensors").touch()
    assert health.disk().state == "ok"


def test_a_graphics_card_that_torch_cannot_see_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The driver's own program is the outer door; torch is asked for real, and sees no such card."""
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho 'Imaginary GPU, 1 MiB'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    finding = health.gpu()
    assert finding.state == "warn"
    assert finding.message.startswith("Imaginary GPU, 1 MiB; torch ")


def test_a_fresh_home_fails_the_doctor_because_nothing_is_migrated_yet(tmp_path: Path) -> None:
    done = manage(tmp_path, "doctor", "--json")
    findings = {finding["name"]: finding for finding in json.loads(done.stdout)}
    assert done.returncode == 1
    assert findings["migrations"]["state"] == "fail"
    assert findings["migrations"]["mend"] == "run `python manage.py migrate`"
    assert findings["broker"]["state"] == findings["worker"]["state"] == "warn"
    assert len(findings) == 12


def test_a_configured_broker_that_is_away_is_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A subprocess, since the address of the broker is read once, at the start.
    code = "import django; django.setup(); from workbench import health as h; print(h.broker().state, h.worker().state)"
    monkeypatch.setenv("CELERY_BROKER_URL", "redis://127.0.0.1:1/0")
    assert run_python(tmp_path, code) == "fail fail"


def run_python(home: Path, code: str) -> str:
    environment = {**os.environ, "PLUMBLINE_HOME": str(home), "DJANGO_SETTINGS_MODULE": "workbench.settings"}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True)
    return done.stdout.strip()
