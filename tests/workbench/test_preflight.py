"""What is in the way of a start is said before anything is started."""

import socket
from pathlib import Path

import pytest

from workbench import preflight

pytestmark = pytest.mark.not_db


def test_only_one_start_holds_a_home(tmp_path: Path) -> None:
    with preflight.only_start(tmp_path, "http://127.0.0.1:8000/"):
        assert preflight.running_start(tmp_path)["address"] == "http://127.0.0.1:8000/"
        second = preflight.only_start(tmp_path, "http://127.0.0.1:8001/")
        with pytest.raises(preflight.NotReady, match=r"already running on .*: http://127.0.0.1:8000/ \(process \d+\)"):
            second.__enter__()
    assert preflight.running_start(tmp_path) is None
    with preflight.only_start(tmp_path, "http://127.0.0.1:8001/"):
        pass


def test_a_state_file_of_a_killed_start_blocks_nobody(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "up.json").write_text('{"pid": 1, "address": "http://old/"}')
    (tmp_path / "run" / "up.lock").touch()
    assert preflight.running_start(tmp_path) is None
    with preflight.only_start(tmp_path, "http://new/"):
        assert preflight.running_start(tmp_path)["address"] == "http://new/"


def test_a_port_in_use_is_named_and_a_free_one_passes() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        port = other.getsockname()[1]
        other.listen()
        with pytest.raises(preflight.NotReady, match=f"Port {port} on 127.0.0.1 is taken"):
            preflight.require_free_port("127.0.0.1", port)
    preflight.require_free_port("127.0.0.1", port)


@pytest.mark.parametrize(
    ("host", "port"), [("127.0.0.1", 70000), ("203.0.113.7", 8000), ("no.such.host.invalid", 8000)]
)
def test_an_address_that_is_not_ours_is_one_clear_line(host: str, port: int) -> None:
    with pytest.raises(preflight.NotReady, match="choose another with --host and --port"):
        preflight.require_free_port(host, port)


def test_too_little_disk_says_how_much_is_wanted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home, runs, models = tmp_path, tmp_path / "runs", tmp_path / "models"
    monkeypatch.setattr(preflight, "DEMO_COPY", 10**18)
    preflight.require_space(preflight.room_on_disks(home, runs, models, model_copy_exists=True))
    with pytest.raises(preflight.NotReady, match=r"Too little disk space for .* GiB are needed.* PLUMBLINE_HOME"):
        preflight.require_space(preflight.room_on_disks(home, runs, models, model_copy_exists=False))


@pytest.fixture
def three_disks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """Folders that lie on disks of their own, with as much room as is needed there; "small" has half of that."""
    free = {"home": 200_000_000, "runs": 200_000_000, "models": 600_000_000, "small": 100_000_000}
    monkeypatch.setattr(preflight, "_disk_of", lambda folder: list(free).index(folder.name))
    monkeypatch.setattr(preflight, "_free_at", lambda folder: free[folder.name])
    return {name: tmp_path / name for name in free}


def test_each_disk_needs_room_for_what_is_written_on_it(three_disks: dict[str, Path]) -> None:
    home, runs, models, small = three_disks.values()
    rooms = preflight.room_on_disks(home, runs, models, model_copy_exists=False)
    assert [(room.folder, room.needed) for room in rooms] == [(home, 2e8), (runs, 2e8), (models, 6e8)]
    preflight.require_space(rooms)
    with pytest.raises(preflight.NotReady, match=f"for {small}: .* set PLUMBLINE_MODELS_DIR"):
        preflight.require_space(preflight.room_on_disks(home, runs, small, model_copy_exists=False))
    with pytest.raises(preflight.NotReady, match=f"for {small}: .* set PLUMBLINE_RUNS_DIR"):
        preflight.require_space(preflight.room_on_disks(home, small, models, model_copy_exists=False))
    preflight.require_space(preflight.room_on_disks(home, runs, small, model_copy_exists=True))


def test_folders_on_one_disk_need_room_together(three_disks: dict[str, Path]) -> None:
    home, _runs, models, _small = three_disks.values()
    [room] = preflight.room_on_disks(models, models, models, model_copy_exists=False)
    assert (room.folder, room.variable, room.needed) == (models, "PLUMBLINE_HOME", 8e8)
    rooms = preflight.room_on_disks(home, models, models, model_copy_exists=False)
    assert [(room.variable, room.needed) for room in rooms] == [("PLUMBLINE_HOME", 2e8), ("PLUMBLINE_RUNS_DIR", 8e8)]
