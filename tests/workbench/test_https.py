"""PLUMBLINE_HTTPS=1 behind a proxy with TLS: plain requests are sent on, none in a circle; Django finds no fault."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.workbench.server import ROOT, environment, manage

pytestmark = pytest.mark.not_db
ANSWERED = [302, "/accounts/login/?next=/"]
SITE = {
    "PLUMBLINE_HTTPS": "1",
    "PLUMBLINE_ALLOWED_HOSTS": "label.example.org",
    "PLUMBLINE_CSRF_TRUSTED_ORIGINS": "https://label.example.org",
}
# Each a fresh client's answer: as the web process meets a request that the proxy has passed on, or that came past it.
ASK = """
import django, json
django.setup()
from django.test import Client
from django.conf import settings
def asked(path, **headers):
    answer = Client().get(path, headers={"host": "label.example.org", **headers})
    return [answer.status_code, answer.headers.get("Location"), answer.headers.get("Strict-Transport-Security")]
print(json.dumps({
    "plain": asked("/?a=b", x_forwarded_proto="http"),
    "past the proxy": asked("/"),
    "tls": asked("/", x_forwarded_proto="https"),
    "chain": asked("/", x_forwarded_proto="https, http"),
    "health": asked("/healthz"),
    "proxies": settings.PROXIES,
}))
"""


def answers(home: Path, **variables: str) -> dict[str, Any]:
    variables = {**environment(home), **SITE, **variables, "DJANGO_SETTINGS_MODULE": "workbench.settings"}
    done = subprocess.run([sys.executable, "-c", ASK], cwd=ROOT, env=variables, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_what_came_without_tls_is_sent_on_once_and_what_came_with_it_is_answered(tmp_path: Path) -> None:
    found = answers(tmp_path)
    there = "https://label.example.org/"
    assert found["plain"][:2] == [301, f"{there}?a=b"] and found["past the proxy"][:2] == [301, there]
    for way in ("tls", "chain"):
        assert found[way] == [*ANSWERED, "max-age=2592000"]
    assert found["health"][0] == 200
    assert found["proxies"] == 1


def test_a_proxy_that_does_not_say_how_it_was_asked_is_provided_for(tmp_path: Path) -> None:
    found = answers(tmp_path, PLUMBLINE_SSL_REDIRECT="0", PLUMBLINE_HSTS_SECONDS="0", PLUMBLINE_PROXIES="2")
    assert found["past the proxy"] == found["tls"] == [*ANSWERED, None]
    assert found["proxies"] == 2


def test_without_it_nothing_is_sent_on_and_no_proxy_believed(tmp_path: Path) -> None:
    found = answers(tmp_path, PLUMBLINE_HTTPS="0")
    assert found["past the proxy"] == found["tls"] == [*ANSWERED, None]
    assert found["proxies"] == 0


def test_djangos_own_check_of_an_installation_finds_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SITE.items():
        monkeypatch.setenv(name, value)
    done = manage(tmp_path, "check", "--deploy", "--fail-level", "WARNING")
    assert done.returncode == 0, done.stderr
