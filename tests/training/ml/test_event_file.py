"""Event files are, byte for byte, what TensorBoard's own messages and records are."""

import resource
import struct

import pytest

from training.ml import event_file

# Made with the protobuf messages and the record writer of tensorboardX 2.6.5.
MESSAGE = (
    "0900002040fc54d94110ac022a2e0a140a0d747261696e696e672f6c6f7373150000003f"
    "0a160a0f747261696e696e672f6d617267696e150000a0bf"
)
RECORD = f"3c00000000000000c8b7a352{MESSAGE}83af78d9"
VALUES = [("training/loss", 0.5), ("training/margin", -1.25)]


def test_a_step_is_the_message_that_protobuf_writes():
    assert event_file.scalars(1700000000.5, 300, VALUES).hex() == MESSAGE


def test_a_record_has_length_and_checksums_as_the_record_writer_puts_them():
    assert event_file.record(event_file.scalars(1700000000.5, 300, VALUES)).hex() == RECORD


def test_the_checksum_is_that_of_rfc_3720():
    assert event_file.crc32c(b"123456789") == 0xE3069283
    assert event_file.crc32c(b"\0" * 32) == 0x8A9136AA


def test_a_file_begins_with_its_version_and_the_start_of_a_session(tmp_path):
    path = tmp_path / "events.out.tfevents.1"
    event_file.begin(path, 1.0)
    event_file.append(path, [event_file.scalars(2.0, 1, VALUES)])
    version, start, step = records(path.read_bytes())
    assert version.endswith(b"\x1a\x0dbrain.Event:2")
    assert start.endswith(b"\x3a\x02\x08\x01"), "session_log { status: START }"
    assert step == event_file.scalars(2.0, 1, VALUES)


def test_what_a_full_disk_cuts_off_is_taken_back_and_what_comes_later_can_be_read(tmp_path):
    path = tmp_path / "events.out.tfevents.1"
    event_file.begin(path, 1.0)
    usual = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 20, usual[1]))
    try:
        with pytest.raises(OSError, match="too large"):
            event_file.append(path, [event_file.scalars(2.0, 1, VALUES)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, usual)
    event_file.append(path, [event_file.scalars(2.0, 1, VALUES)])
    assert records(path.read_bytes())[2:] == [event_file.scalars(2.0, 1, VALUES)]


def records(content: bytes) -> list[bytes]:
    """The data of whole records, their checksums looked at."""
    found = []
    while content:
        (length,) = struct.unpack("<Q", content[:8])
        data = content[12 : 12 + length]
        assert event_file.record(data) == content[: 16 + length]
        found.append(data)
        content = content[16 + length :]
    return found
