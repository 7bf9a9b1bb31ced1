"""A real Chromium: with the tests' own server, or with a workbench (web, worker, broker) in a folder of its own."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis
from django.conf import settings
from django.test import Client
from playwright.sync_api import Browser, Error, Page, sync_playwright
from pytest_django.live_server_helper import LiveServer

from annotate.models import Project, Role, User
from annotate.workflow.demonstrations import import_demonstrations
from annotate.workflow.guidelines import current_version, mark_read
from annotate.workflow.projects import create_project, set_member
from annotate.workflow.snapshots import freeze
from tests.factories import judge_all, make_comparisons, make_prompts, make_user
from training.models import Artifact

SYSTEM_BROWSERS = ("chromium", "chromium-browser", "google-chrome")
Open = Callable[..., Page]
# Of pytest-xdist's processes; each starts a workbench of its own.
WORKER = os.environ.get("PYTEST_XDIST_WORKER", "gw0")
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync"]


@pytest.fixture(scope="session", autouse=True)
def _database_beside_the_browser() -> Iterator[None]:
    """Playwright's event loop runs in this thread, and Django would take that for asynchronous code."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")
        yield


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """The system's Chromium, or Playwright's own; without either the test is skipped, unless that is forbidden."""
    system = next(filter(None, map(shutil.which, SYSTEM_BROWSERS)), None)
    with sync_playwright() as playwright:
        try:
            started = playwright.chromium.launch(executable_path=system, args=QUIET)
        except Error as error:
            if os.environ.get("PLUMBLINE_REQUIRE_BROWSER"):
                pytest.fail(f"No browser starts here: {error}")
            pytest.skip("There is neither a system Chromium nor Playwright's own")
        yield started
        started.close()


@pytest.fixture
def garden(transactional_db: None) -> Project:
    """Thirty judged comparisons, frozen; a model, and a set of demonstrations."""
    project = create_project(
        slug="garden", name="Garden", manager=make_user("lead"), overlap=1, guideline="Help.", summary="First"
    )
    ann = make_user("ann")
    set_member(project=project, user=ann, role=Role.ANNOTATOR)
    mark_read(version=current_version(project), user=ann)
    make_comparisons(project, 30)
    judge_all(project, ann, ["b" if number % 3 else "a" for number in range(30)])
    make_prompts(project, 10, start=100)
    freeze(project=project)
    Artifact.objects.create(project=project, name="base", location="owner/base")
    lines = [f'{{"prompt": "How {n}?", "response": "So."}}\n' for n in range(8)]
    import_demonstrations(project=project, name="manners", lines=lines)
    return project


@pytest.fixture
def open_as(browser: Browser, live_server: LiveServer, garden: Project) -> Iterator[Open]:
    """A page of somebody who has signed in; errors of its scripts fail the test."""
    pages: list[tuple[Page, list[str]]] = []

    def opened(username: str, path: str, **context: Any) -> Page:
        profile = browser.new_context(base_url=live_server.url, **context)
        profile.add_cookies([_session_of(username, live_server.url)])
        page = profile.new_page()
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        pages.append((page, errors))
        page.set_default_timeout(10_000)
        page.goto(path)
        page.wait_for_url(f"**{path}")
        return page

    yield opened
    for page, errors in pages:
        page.context.close()
        assert errors == []


def _session_of(username: str, url: str) -> Any:
    """Its cookie; the form that gives it out is filled in by test_circle.py and test_outbox.py."""
    client = Client()
    client.force_login(User.objects.get(username=username))
    return {
        "name": settings.SESSION_COOKIE_NAME,
        "value": client.cookies[settings.SESSION_COOKIE_NAME].value,
        "url": url,
    }


@dataclass(frozen=True)
class Workbench:
    """A running `manage.py up`."""

    address: str
    home: Path
    environment: dict[str, str]

    def page(self, browser: Browser, username: str, **context: object) -> Page:
        """A page of a person who has just signed in, in a browser profile of their own."""
        page = browser.new_context(base_url=self.address, **context).new_page()
        page.set_default_timeout(20_000)
        page.goto("/accounts/login/")
        page.fill("[name=username]", username)
        page.fill("[name=password]", "correct horse battery")
        page.click("main button.btn-primary, form button.btn-primary")
        page.wait_for_url(lambda url: "/login/" not in url)
        return page

    def manage(self, *arguments: str) -> str:
        command = [sys.executable, "manage.py", *arguments]
        done = subprocess.run(
            command, cwd=settings.BASE_DIR, env=self.environment, check=True, capture_output=True, text=True
        )
        return done.stdout


@pytest.fixture(scope="session")
def workbench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workbench]:
    home = tmp_path_factory.mktemp("workbench")
    environment = {**os.environ, "PLUMBLINE_HOME": str(home), "OMP_NUM_THREADS": "1"}
    environment |= _own_database() | _own_broker()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    running = Workbench(f"http://127.0.0.1:{port}", home, environment)
    running.manage("migrate", "--verbosity", "0")
    subprocess.run([sys.executable, "-m", "tests.browser.stage"], cwd=settings.BASE_DIR, env=environment, check=True)
    command = [sys.executable, "manage.py", "up", "--port", str(port)]
    with (home / "up.log").open("w") as log:
        up = subprocess.Popen(command, cwd=settings.BASE_DIR, env=environment, stdout=log, stderr=subprocess.STDOUT)
    try:
        _wait_for(f"{running.address}/healthz", up, home / "up.log")
        yield running
    finally:
        up.send_signal(signal.SIGINT)
        up.wait(timeout=60)


def _own_database() -> dict[str, str]:
    """On PostgreSQL the server gets a database of its own beside the tests'; on SQLite it is in the folder anyway."""
    url = os.environ.get("DATABASE_URL", "")
    if not url.startswith("postgres"):
        return {}
    base, _slash, name = url.rpartition("/")
    own = f"{name}_browser_{WORKER}"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f'DROP DATABASE IF EXISTS "{own}" WITH (FORCE)')
        connection.execute(f'CREATE DATABASE "{own}"')
    return {"DATABASE_URL": f"{base}/{own}"}


def _own_broker() -> dict[str, str]:
    """On Redis an empty database of its own: what the tests, or another process of theirs, send is not for it."""
    url = os.environ.get("CELERY_BROKER_URL", "")
    if not url.startswith("redis"):
        return {}
    base, _slash, number = url.rpartition("/")
    own = f"{base}/{int(number) + 1 + int(WORKER.removeprefix('gw'))}"
    redis.from_url(own).flushdb()
    return {"CELERY_BROKER_URL": own}


def _wait_for(address: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if process.poll() is not None:
            pytest.fail(f"`manage.py up` ended:\n{log.read_text()}")
        try:
            with urllib.request.urlopen(address, timeout=2):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    pytest.fail(f"{address} does not answer:\n{log.read_text()}")
