"""`manage.py up` with real processes: it starts, mends and stops what belongs to it, and says what is in the way."""

import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.workbench.server import ROOT, Server, environment, free_port, manage, until

pytestmark = [pytest.mark.slow, pytest.mark.not_db]  # the desk's own database and broker, whatever the suite has


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for the whole file; the tests below run from its start to its end, in order."""
    running = Server(tmp_path_factory.mktemp("up") / "home").start()
    yield running
    running.end()


def test_it_answers_and_its_broker_listens_on_a_private_socket_only(server: Server) -> None:
    assert server.status("healthz") == 200
    assert server.status("accounts/login/") == 200
    folder = (server.home / "run").stat()
    assert stat.S_IMODE(folder.st_mode) == 0o700
    if broker := server.parts("broker"):
        assert broker[0].net_connections(kind="inet") == []


def test_a_second_start_on_the_same_home_says_so_in_one_line(server: Server) -> None:
    second = manage(server.home, "up", "--port", str(server.port + 1))
    assert second.returncode == 1
    assert f"already running on {server.home}: http://127.0.0.1:{server.port}/" in second.stderr
    assert len(second.stderr.strip().splitlines()) == 1


def test_the_doctor_finds_broker_and_worker_well(server: Server) -> None:
    until(lambda: "ready." in (server.home / "logs" / "worker.log").read_text(), 30, "the worker's start")
    done = manage(server.home, "doctor")
    lines = {line.split()[1]: line.split()[0] for line in done.stdout.splitlines()}
    assert done.returncode == 0, done.stdout + done.stderr
    assert (lines["broker"], lines["worker"], lines["database"], lines["migrations"]) == ("ok", "ok", "ok", "ok")


@pytest.mark.parametrize("part", ["worker", "web", "broker", "guard"])
def test_a_killed_part_is_started_again_and_said_in_one_line(server: Server, part: str) -> None:
    if part == "broker" and not server.parts("broker"):
        pytest.skip("no embedded broker on this platform")
    before = server.leader(part)
    before.kill()
    until(lambda: server.leaders(part) not in ([], [before]), 30, f"a new {part}")
    assert server.output.read_text().count(f"{part} was ended by SIGKILL; it is started again") == 1
    until(lambda: server.status() == 200, 60, "the web server's answer")


def test_a_killed_worker_leaves_nothing_of_its_own_behind(server: Server) -> None:
    """Its beat process would send every periodic task a second time."""
    until(lambda: len(server.parts("worker")) == 2, 20, "the worker and its beat")
    old = server.parts("worker")
    server.leader("worker").kill()
    until(
        lambda: not any(process.is_running() and process in server.parts() for process in old), 15, "the end of the old"
    )


def test_ctrl_c_stops_everything_it_started(server: Server) -> None:
    assert len(server.parts()) >= 4
    assert server.interrupt() < 15
    assert server.process.returncode == 0
    assert server.parts() == []
    assert server.status() == 0
    assert server.said("Stopped.")


def test_a_killed_up_leaves_no_orphans_and_can_be_started_again(tmp_path: Path) -> None:
    server = Server(tmp_path / "home").start()
    try:
        server.process.send_signal(signal.SIGKILL)
        server.process.wait()
        until(lambda: not server.parts(), 15, "the guard to end the orphans")
        server.output.write_text("")
        server.start()
        assert server.status() == 200
        # Now up and guard die together: nobody is left to tidy up but the next start.
        server.leader("guard").kill()
        server.process.kill()
        server.process.wait()
        assert server.parts("web")
        server.output.write_text("")
        server.start("--no-worker")
        assert server.said("that an earlier start had left behind")
        assert server.status() == 200
        assert server.parts("worker") == []
        assert server.interrupt() < 15
    finally:
        server.end()


def test_up_ends_with_the_command_that_started_it(tmp_path: Path) -> None:
    server = Server(tmp_path / "home")
    script = f"{sys.executable} manage.py up --no-worker --with-parent --port {server.port} > {server.output}; true"
    shell = subprocess.Popen(["bash", "-c", script], cwd=ROOT, env=environment(server.home))
    server.process = shell
    try:
        until(lambda: server.status() == 200, 30, "the server's start")
        shell.kill()
        shell.wait()
        until(lambda: server.status() == 0 and not server.parts(), 15, "the server's end")
    finally:
        server.end()


def test_a_taken_port_is_one_clear_line(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        done = manage(tmp_path, "up", "--port", str(port))
    assert done.returncode == 1
    assert len(done.stderr.strip().splitlines()) == 1
    assert f"Port {port} on 127.0.0.1 is taken" in done.stderr and f"PORT={port + 1}" in done.stderr


def test_a_database_that_is_away_is_one_clear_line(tmp_path: Path) -> None:
    away = {**environment(tmp_path), "DATABASE_URL": "postgres://nobody@127.0.0.1:1/nothing"}
    command = [sys.executable, "manage.py", "up", "--port", str(free_port())]
    done = subprocess.run(command, cwd=ROOT, env=away, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert len(done.stderr.strip().splitlines()) == 1
    assert "The database does not answer" in done.stderr and "check DATABASE_URL" in done.stderr
