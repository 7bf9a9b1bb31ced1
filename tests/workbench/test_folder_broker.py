"""The broker of folders with several writers and readers at once: no message is lost, none stops its reader."""

import multiprocessing
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Empty

import pytest
from kombu import Connection
from kombu.exceptions import ChannelError
from kombu.transport.virtual import Channel

from workbench import broker, folder_broker
from workbench.celery import app

MESSAGES = 1500


@contextmanager
def _channel(home: Path) -> Iterator[Channel]:
    options = broker.transport_options("filesystem://", home, visibility_timeout=60)
    with Connection("filesystem://", transport_options=options) as connection:
        yield connection.default_channel


def _write(home: Path, numbers: range) -> None:
    with _channel(home) as channel:
        for number in numbers:
            channel._put("gpu", {"body": "x" * 400, "number": number})


def _bind(home: Path, start: threading.Barrier, name: str) -> None:
    with _channel(home) as channel:
        start.wait()
        channel._queue_bind("all", "", "", name)


def test_the_app_takes_it_for_the_scheme_of_folders() -> None:
    with app.connection_for_write("filesystem://") as connection:
        assert isinstance(connection.transport, folder_broker.Transport)


def test_every_message_is_read_whole_while_another_process_writes(tmp_path: Path) -> None:
    writers = [
        multiprocessing.get_context("fork").Process(target=_write, args=(tmp_path, numbers))
        for numbers in (range(MESSAGES), range(MESSAGES, 2 * MESSAGES))
    ]
    for writer in writers:
        writer.start()
    found: list[int] = []
    deadline = time.monotonic() + 60
    with _channel(tmp_path) as channel:
        while len(found) < 2 * MESSAGES and time.monotonic() < deadline:
            try:
                found.append(channel._get("gpu")["number"])
            except Empty:
                time.sleep(0.0005)
    for writer in writers:
        writer.join()
    assert sorted(found) == list(range(2 * MESSAGES))
    # Of one writer in the order of writing.
    assert [number for number in found if number < MESSAGES] == list(range(MESSAGES))
    assert not list((tmp_path / "run" / "queue").glob("*.part"))


def test_a_message_that_a_fault_cut_off_is_left_out_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with _channel(tmp_path) as channel:
        for name, text in (("1_a", b""), ("2_b", b'{"body": "x'), ("3_c", b"\xff\xfe")):
            (tmp_path / "run" / "queue" / f"{name}.gpu.msg").write_bytes(text)
        channel._put("gpu", {"number": 4})
        assert channel._get("gpu") == {"number": 4}
        with pytest.raises(Empty):
            channel._get("gpu")
    assert caplog.text.count("in the queue “gpu” could not be read and is left out") == 3


def test_queues_that_are_bound_at_the_same_time_are_all_there(tmp_path: Path) -> None:
    names, start = [f"queue{i}" for i in range(16)], threading.Barrier(16)
    threads = [threading.Thread(target=_bind, args=(tmp_path, start, name)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with _channel(tmp_path) as channel:
        assert sorted(bound.queue for bound in channel.get_table("all")) == sorted(names)
        channel._delete("queue3", "all", "", "")
        assert len(channel.get_table("all")) == 15


def test_a_folder_that_takes_nothing_is_an_error_of_the_broker(tmp_path: Path) -> None:
    with _channel(tmp_path) as channel:
        folder = tmp_path / "run" / "queue"
        folder.rename(tmp_path / "away")
        with pytest.raises(ChannelError, match="cannot be written to"):
            channel._put("gpu", {"number": 1})
