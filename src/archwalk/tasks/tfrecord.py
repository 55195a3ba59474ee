"""The two binary formats inside NAS-Bench-101's file, read without TensorFlow and without running anything.

In: bytes. Out: the records of a TFRecord file, checksums compared; the fields of a protobuf message. Next:
``importers_nasbench101`` knows what the fields mean.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from archwalk.errors import BenchmarkError

_HEADER, _FOOTER = 12, 4  # length and its checksum in front of a record, the record's checksum behind it
_BATCH = 1 << 16  # records checked at once
Field = int | float | bytes


def read_records(path: Path) -> Iterator[bytes]:
    """The records of a TFRecord file, in order.

    A record is its length (8 bytes), the masked CRC-32C of these, the content, and its masked CRC-32C, all
    little-endian (TensorFlow, "TFRecord and tf.train.Example").

    Raises:
        BenchmarkError: no such file, an empty one, one that is cut off, or a checksum that does not fit.
    """
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            if size == 0:
                raise _broken(path, 0, "nothing: the file is empty")
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
                offset = number = 0
                while offset < size:
                    starts, offset = _batch(path, content, size, offset, number)
                    _check(path, content, starts, number)
                    number += len(starts)
                    yield from (content[a : a + n] for a, n in starts.tolist())
    except OSError as error:
        raise BenchmarkError("a TFRecord file", f"{path}: {error.strerror}", "check the path") from error


def _batch(
    path: Path, content: mmap.mmap, size: int, offset: int, number: int
) -> tuple[NDArray[np.int64], int]:
    """Start and length of the next records, [n, 2], and where the one after them begins.

    A length is believed only once its checksum fits: one false length would misplace all that follows.
    """
    starts: list[tuple[int, int]] = []
    while offset < size and len(starts) < _BATCH:
        where = number + len(starts)
        if offset + _HEADER > size:
            raise _broken(path, where, f"{size - offset} bytes where a record's length should stand")
        length, checksum = struct.unpack_from("<QI", content, offset)
        if masked_crc32c(content[offset : offset + 8]) != checksum:
            raise _broken(path, where, f"a checksum of its length that does not fit, at byte {offset}")
        end = offset + _HEADER + length + _FOOTER
        if end > size:
            raise _broken(path, where, f"the file's end {end - size} bytes before that of the record")
        starts.append((offset + _HEADER, length))
        offset = end
    return np.array(starts, dtype=np.int64).reshape(-1, 2), offset


def _check(path: Path, content: mmap.mmap, starts: NDArray[np.int64], number: int) -> None:
    """Compare the checksums of many records, one byte of all of them after the other."""
    whole = np.frombuffer(content, dtype=np.uint8)
    order = np.argsort(-starts[:, 1], kind="stable")
    first, lengths = starts[order, 0], starts[order, 1]
    crc = np.full(len(starts), 0xFFFFFFFF, dtype=np.uint32)
    for i in range(int(lengths.max(initial=0))):
        n = int(np.searchsorted(-lengths, -i))  # the records longer than i
        crc[:n] = _TABLE[(crc[:n] ^ whole[first[:n] + i]) & 0xFF] ^ (crc[:n] >> 8)
    ends = (first + lengths)[:, None] + np.arange(4)
    stored = whole[ends].astype("<u4") @ np.array([1, 1 << 8, 1 << 16, 1 << 24], dtype="<u4")
    wrong = np.flatnonzero(_mask(~crc) != stored)
    del whole  # a view left over would keep the file mapped
    if len(wrong):
        at = int(order[wrong].min())
        raise _broken(path, number + at, f"a checksum that does not fit, at byte {starts[at, 0]}")


def _broken(path: Path, record: int, got: str) -> BenchmarkError:
    return BenchmarkError(
        f"a whole TFRecord file, and in it record {record:,}",
        f"{got} ({path})",
        "download the file again; nothing was written",
    )


def _make_table() -> NDArray[np.uint32]:
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = np.where(table & 1, (table >> 1) ^ np.uint32(0x82F63B78), table >> 1).astype(np.uint32)
    return table


_TABLE = _make_table()
_WORDS: list[int] = _TABLE.tolist()


def _mask(crc: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """The rotation and constant that a TFRecord file stores checksums under."""
    rotated = (crc >> np.uint32(15)) | (crc << np.uint32(17))
    return rotated + np.uint32(0xA282EAD8)


def masked_crc32c(content: bytes) -> int:
    """The checksum that a TFRecord file stores for some bytes."""
    crc = 0xFFFFFFFF
    for byte in content:
        crc = _WORDS[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return int(_mask(np.array([crc ^ 0xFFFFFFFF], dtype=np.uint32))[0])


def read_message(content: bytes) -> dict[int, list[Field]]:
    """The fields of a protobuf message: number → its values in order.

    Integers for varints, floats for eight-byte fields, which are taken as doubles, bytes for those with a
    length; four-byte fields are passed over.

    Raises:
        ValueError: what is no message: a field cut off, a number that never ends, another wire type.
    """
    fields: dict[int, list[Field]] = {}
    at = 0
    while at < len(content):
        tag, at = _varint(content, at)
        number, wire = tag >> 3, tag & 7
        if number == 0:
            raise ValueError("a field with the number 0")
        if wire == 0:
            value, at = _varint(content, at)
            fields.setdefault(number, []).append(value)
            continue
        if wire == 2:
            length, at = _varint(content, at)
        elif wire in (1, 5):
            length = 8 if wire == 1 else 4
        else:
            raise ValueError(f"a field of wire type {wire}")
        if at + length > len(content):
            raise ValueError(f"field {number} cut off")
        if wire == 1:
            fields.setdefault(number, []).append(struct.unpack_from("<d", content, at)[0])
        elif wire == 2:
            fields.setdefault(number, []).append(content[at : at + length])
        at += length
    return fields


def _varint(content: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(content):
            raise ValueError("a number cut off")
        byte = content[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError("a number of more than ten bytes")
