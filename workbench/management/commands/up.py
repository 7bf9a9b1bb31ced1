"""`manage.py up`: web server, worker (with beat) and embedded broker, started and stopped together."""

import os
import sys
import time
import urllib.error
import urllib.request
from argparse import ArgumentParser
from contextlib import suppress
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import OperationalError, connection

from workbench import assets, embedded_broker, guard, health, preflight
from workbench.processes import Part, Supervisor

# Ctrl-C must have ended everything within 15 s: worker, then web, then broker.
WORKER_PATIENCE, WEB_PATIENCE, BROKER_PATIENCE = 9.0, 3.0, 1.5
START_SECONDS = 60.0
# Not through the proxy that the environment may name.
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
FIRST_STEPS = """What to do first:
  1. Open the address and sign in; the accounts of the demo, with their passwords, are in {accounts}.
  2. As ann or ben: open the project and judge. The first comparisons come about a minute after the first start.
  3. As lead: freeze a snapshot and press "New round"."""

# Each thread would keep an arena of freed memory, and two libraries pools of their own: over 200 MB after a while.
SMALL_PROCESS = {
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_TRIM_THRESHOLD_": "131072",
    "MALLOC_MMAP_THRESHOLD_": "131072",
    "ARROW_DEFAULT_MEMORY_POOL": "system",
    "OPENBLAS_NUM_THREADS": "1",
}


class Command(BaseCommand):
    help = "Starts web server, worker and embedded broker together; Ctrl-C stops them all."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--host", default="127.0.0.1", help="Address to listen on (default: 127.0.0.1).")
        parser.add_argument("--port", type=int, default=8000, help="Port to listen on (default: 8000).")
        parser.add_argument("--no-worker", action="store_true", help="Web and broker only: workers run elsewhere.")
        parser.add_argument("--with-parent", action="store_true", help="Stop when the process that started this ends.")

    def handle(
        self, *args: Any, host: str, port: int, no_worker: bool, with_parent: bool = False, **options: Any
    ) -> None:
        parent = os.getppid() if with_parent else None
        shown = f"[{host}]" if ":" in host else host
        address = f"http://{shown}:{port}/"
        try:
            with preflight.only_start(settings.HOME, address):
                self._serve(host, port, address, no_worker, parent)
        except (preflight.NotReady, embedded_broker.BrokerFolderTaken) as error:
            raise CommandError(str(error)) from error
        except OperationalError as error:
            reason = str(error).strip().splitlines()[0]
            raise CommandError(
                f"The database does not answer ({reason}): check DATABASE_URL and its server."
            ) from error

    def _serve(self, host: str, port: int, address: str, no_worker: bool, parent: int | None) -> None:
        supervisor = Supervisor(settings.HOME, settings.BASE_DIR, self._say, {"PLUMBLINE_HOME": str(settings.HOME)})
        supervisor.listen_to_signals()
        unused = self._prepare(host, port)
        try:
            supervisor.start_guard()
            self._start_broker(supervisor)
            if not supervisor.stop_requests:
                supervisor.start(web_part(host, port))
                self._wait_for_web(supervisor, probe_address(host, port))
            if not (no_worker or supervisor.stop_requests):
                supervisor.start(worker_part())
            if not supervisor.stop_requests:
                self._greet(address, unused)
            while not supervisor.stop_requests and (parent is None or os.getppid() == parent):
                supervisor.watch()
                time.sleep(0.3)
            self._say("Stopping; a running training saves its checkpoint first. Ctrl-C again stops at once.")
        finally:
            supervisor.stop()
        self._say("Stopped.")

    def _prepare(self, host: str, port: int) -> bool:
        """Everything that may fail with one line comes before the first child. Whether it was never used."""
        left = guard.end_marked(guard.mark_of(str(settings.HOME)), patience=5.0)
        if left:
            self._say(f"Ended {left} {'process' if left == 1 else 'processes'} that an earlier start had left behind.")
        preflight.require_free_port(host, port)
        preflight.require_space(health.rooms())
        call_command("migrate", interactive=False, verbosity=0)
        assets.collect_when_changed()
        unused = is_unused()
        connection.close()
        return unused

    def _start_broker(self, supervisor: Supervisor) -> None:
        if not embedded_broker.is_wanted():
            return
        supervisor.start(Part("broker", embedded_broker.command(settings.HOME), BROKER_PATIENCE))
        deadline = time.monotonic() + 10
        while not embedded_broker.answers(settings.HOME):
            if time.monotonic() > deadline or not supervisor.is_alive("broker"):
                raise CommandError(f"The embedded broker did not start:\n{supervisor.last_lines('broker')}")
            time.sleep(0.05)

    def _wait_for_web(self, supervisor: Supervisor, probe: str) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not supervisor.stop_requests and not _answers(probe):
            if time.monotonic() > deadline or not supervisor.is_alive("web"):
                raise CommandError(f"The web server did not start:\n{supervisor.last_lines('web')}")
            time.sleep(0.2)

    def _greet(self, address: str, unused: bool) -> None:
        """Passwords go to who sits before it, at the first start, and never into a log."""
        accounts = settings.HOME / "accounts.txt"
        if accounts.exists() and unused and self.stdout.isatty():
            self._say(accounts.read_text().rstrip())
        self._say(f"\nPlumbline is at {address}\n")
        if accounts.exists():
            self._say(FIRST_STEPS.format(accounts=accounts))
        else:
            self._say("No accounts yet: `python manage.py demo` makes the demo project, `createsuperuser` an account.")
        self._say(f"Stop with Ctrl-C. Logs: {settings.HOME / 'logs'}")

    def _say(self, line: str) -> None:
        """What the output goes into, a file on a full disk or a pager that was left, must not end the server."""
        with suppress(OSError):
            self.stdout.write(line)
            self.stdout.flush()


def is_unused() -> bool:
    """Nobody has ever signed in: until then it is the first start, however often it was begun."""
    return not get_user_model().objects.filter(last_login__isnull=False).exists()


def web_part(host: str, port: int) -> Part:
    """One process: with several, SQLite's writers would wait for each other, and threads are enough for a team."""
    shown = f"[{host}]" if ":" in host else host
    command = [sys.executable, "-m", "gunicorn", "workbench.wsgi", "--bind", f"{shown}:{port}", "--workers", "1"]
    command += ["--worker-class", "gthread", "--threads", "4", "--graceful-timeout", "2", "--timeout", "60"]
    command += ["--worker-tmp-dir", str(settings.HOME / "run"), "--no-control-socket", "--access-logfile", "-"]
    return Part("web", command, WEB_PATIENCE, environment=SMALL_PROCESS)


def worker_part() -> Part:
    """Threads, because the tasks only wait: for the database, or for a training child. The settings say how many."""
    command = [sys.executable, "-m", "celery", "-A", "workbench", "worker", "-P", "threads", "-B"]
    command += ["-Q", "default,gpu", "--without-mingle", "--without-gossip", "--loglevel", "INFO"]
    return Part("worker", command, WORKER_PATIENCE)


def probe_address(host: str, port: int) -> str:
    """Where this machine reaches the server; a wildcard address is listened on, not connected to."""
    local = {"0.0.0.0": "127.0.0.1", "::": "[::1]", "": "127.0.0.1"}.get(host, f"[{host}]" if ":" in host else host)
    return f"http://{local}:{port}/healthz"


def _answers(probe: str) -> bool:
    """Any answer counts: 400 means that the host is not in PLUMBLINE_ALLOWED_HOSTS, and the web server is up."""
    try:
        with DIRECT.open(probe, timeout=2):
            return True
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
