"""TensorBoard's event files: scalars as records of the TFRecord format, appended whole.

A record is length (uint64), masked CRC-32C of the length (uint32), data, masked CRC-32C of the data; all little-endian.
The data is a protobuf message Event (tensorflow/core/util/event.proto): wall_time = 1, step = 2, file_version = 3,
summary = 5, session_log = 7; a Summary has values with tag = 1 and simple_value = 2. These numbers have stood since
2015, and scalars need no more of the format: hence no protobuf library in the training process.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from pathlib import Path

VERSION = b"brain.Event:2"
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
POLYNOMIAL = 0x82F63B78  # Castagnoli, reflected


def _table() -> list[int]:
    rows = []
    for row in range(256):
        for _bit in range(8):
            row = row >> 1 ^ (POLYNOMIAL if row & 1 else 0)
        rows.append(row)
    return rows


TABLE = _table()


def crc32c(data: bytes) -> int:
    """RFC 3720, appendix B.4: crc32c(b"123456789") is 0xE3069283."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = TABLE[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


def record(data: bytes) -> bytes:
    length = struct.pack("<Q", len(data))
    return length + _masked(length) + data + _masked(data)


def scalars(wall_time: float, step: int, values: Sequence[tuple[str, float]]) -> bytes:
    """One event with all values of a step, as (tag, value)."""
    summary = b"".join(
        _field(1, BYTES, _field(1, BYTES, tag.encode()) + _key(2, FIXED32) + struct.pack("<f", value))
        for tag, value in values
    )
    return _event(wall_time, step, _field(5, BYTES, summary))


def begin(path: Path, wall_time: float) -> None:
    """A new file. The start of a session (status START) at step 0 has a TensorBoard that is looking on forget what it
    has read of this run: a run that was resumed writes some of its steps again."""
    start = _event(wall_time, 0, _field(7, BYTES, _key(1, VARINT) + _varint(1)))
    path.write_bytes(record(_event(wall_time, 0, _field(3, BYTES, VERSION))) + record(start))


def append(path: Path, events: Sequence[bytes]) -> None:
    """All of them in one write: a kill leaves them all, or a torn end that readers stop at. A full disk leaves none:
    what came after a torn one would be read by nobody."""
    size = path.stat().st_size if path.exists() else 0
    try:
        with path.open("ab") as file:
            file.write(b"".join(map(record, events)))
    except OSError:
        os.truncate(path, size)
        raise


def _event(wall_time: float, step: int, content: bytes) -> bytes:
    return _key(1, FIXED64) + struct.pack("<d", wall_time) + _key(2, VARINT) + _varint(step) + content


def _masked(data: bytes) -> bytes:
    crc = crc32c(data)
    return struct.pack("<I", (crc >> 15 | crc << 17) + 0xA282EAD8 & 0xFFFFFFFF)


def _field(number: int, kind: int, content: bytes) -> bytes:
    return _key(number, kind) + _varint(len(content)) + content


def _key(number: int, kind: int) -> bytes:
    return _varint(number << 3 | kind)


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])
