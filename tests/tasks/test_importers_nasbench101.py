"""NAS-Bench-101's file: a writer of the same format, what is read from it, and what is refused."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import archwalk
from archwalk.cli.entry import main
from archwalk.errors import BenchmarkError
from archwalk.spaces import NasBench101Space
from archwalk.tasks.importers_nasbench101 import import_nasbench101
from archwalk.tasks.tfrecord import masked_crc32c, read_message, read_records
from tests.spaces.test_graphs import FIRST, FIRST_HASH

SPACE = NasBench101Space()
Row = list[Any]


def varint(value: int) -> bytes:
    groups = [value >> shift & 0x7F for shift in range(0, max(value.bit_length(), 1), 7)]
    return bytes([g | 0x80 for g in groups[:-1]] + groups[-1:])


def double(number: int, value: float) -> bytes:
    return varint(number << 3 | 1) + struct.pack("<d", value)


def text(number: int, content: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(content)) + content


def evaluation(epoch: float, seconds: float, accuracies: list[float]) -> bytes:
    parts = double(1, epoch) + double(2, seconds)
    return parts + b"".join(map(double, (3, 4, 5), accuracies)) + text(6, b"/path/model.ckpt-1")


def metrics(g: np.random.Generator, epochs: int, parameters: int) -> tuple[bytes, np.ndarray]:
    """A message, and what should be read: [half-way and end, train, valid, test, seconds]."""
    values = np.column_stack([g.uniform(0.1, 1, (2, 3)), g.uniform(500, 509, 2) * epochs * np.array([1, 2])])
    message = text(1, evaluation(0.0, 0.0, [0.1, 0.1, 0.1]))
    for due, row in zip((epochs / 2, epochs), values.tolist(), strict=True):
        message += text(1, evaluation(due, row[3], row[:3]))
    return message + varint(2 << 3) + varint(parameters) + double(3, 7e4), values


def framed(payload: bytes) -> bytes:
    length = struct.pack("<Q", len(payload))
    crcs = (struct.pack("<I", masked_crc32c(part)) for part in (length, payload))
    return length + next(crcs) + payload + next(crcs)


def write(path: Path, rows: list[Row]) -> Path:
    path.write_bytes(b"".join(framed(json.dumps(row).encode()) for row in rows))
    return path


def release(n: int, runs: tuple[int, ...] = (108,), seed: int = 0) -> tuple[list[Row], dict[str, Any]]:
    """Rows in shuffled order, and by the cell's string {epochs: [3, 2, 4] values, "params": count}."""
    g = np.random.default_rng(seed)
    codes = np.unique(SPACE.sample(n, g), axis=0)
    cells = [SPACE.read(SPACE.format(code)) for code in codes.tolist()] + [FIRST]
    rows, wanted = [], {}
    for cell in cells:
        adjacency = "".join(str(bit) for row in cell.matrix for bit in row)
        operations = ",".join(["input", *cell.operations, "output"])
        code = SPACE.parse(as_string(adjacency, operations))
        parameters = int(g.integers(1, 50_000_000))
        here: dict[Any, Any] = {"params": parameters}
        for epochs in runs:
            repeats = [metrics(g, epochs, parameters) for _ in range(3)]
            here[epochs] = np.stack([values for _, values in repeats])
            rows += [
                [SPACE.official_hash(code), epochs, adjacency, operations, base64.b64encode(m).decode()]
                for m, _ in repeats
            ]
        wanted[SPACE.format(code)] = here
    return [rows[i] for i in g.permutation(len(rows))], wanted


def as_string(adjacency: str, operations: str) -> str:
    n = len(operations.split(","))
    return "_".join(adjacency[i * n + i + 1 : (i + 1) * n] for i in range(n - 1)) + ":" + operations


def test_known_checksums() -> None:
    # RFC 3720, appendix B.4, under TFRecord's mask.
    for content, crc in (
        (b"\0" * 32, 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
    ):
        assert masked_crc32c(content) == ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def test_records_of_any_length(tmp_path: Path) -> None:
    g = np.random.default_rng(0)
    payloads = [g.bytes(int(n)) for n in g.integers(0, 300, 500)]
    file = tmp_path / "r"
    file.write_bytes(b"".join(map(framed, payloads)))
    assert list(read_records(file)) == payloads


@pytest.mark.parametrize("runs", [(108,), (4, 12, 36, 108)])
def test_the_release(tmp_path: Path, runs: tuple[int, ...]) -> None:
    rows, wanted = release(150, runs)
    b = import_nasbench101(write(tmp_path / "nasbench.tfrecord", rows))
    assert b.name == "nasbench101"
    assert set(b.architectures) == set(wanted)
    assert b.tasks == ("cifar10",)
    assert str(b.reward_column("cifar10")) == "cifar10/top1/valid/108"
    assert {int(c.epoch) for c in b.columns if c.metric == "top1"} == {e // h for e in runs for h in (1, 2)}
    for i, arch in enumerate(b.architectures):
        assert b.values("cifar10", "none", "params")[i] == wanted[arch]["params"]
        for epochs in runs:
            for at, epoch in enumerate((epochs // 2, epochs)):
                mean = wanted[arch][epochs][:, at].mean(0)
                for s, split in enumerate(("train", "valid", "test")):
                    assert b.values("cifar10", split, epoch=str(epoch))[i] == pytest.approx(100 * mean[s])
                time = b.values("cifar10", "none", "time_elapsed", str(epoch))[i]
                assert time == pytest.approx(mean[3])
    assert b.reward("cifar10").max() <= 1


def test_the_saved_table_opens_and_walks(tmp_path: Path) -> None:
    rows, _ = release(150)
    b = import_nasbench101(write(tmp_path / "n.tfrecord", rows))
    again = archwalk.load_benchmark(b.save(tmp_path / "n.parquet"))
    assert again.architectures == b.architectures
    assert again.checksum == b.checksum
    assert all(np.array_equal(again.columns[c], v) for c, v in b.columns.items())
    # Neighbours are the space's among the measured ones.
    codes = SPACE.rows(b.architectures)
    place = {code.tobytes(): i for i, code in enumerate(codes)}
    found = 0
    for i, around in enumerate(SPACE.neighbours(codes)):
        expected = [place[code.tobytes()] for code in around if code.tobytes() in place]
        row = again.neighbours[i].tolist()
        assert row[: len(expected)] == expected
        assert set(row[len(expected) :]) <= {-1}
        found += len(expected)
    assert found > 0
    with pytest.raises(archwalk.errors.ArchitectureError, match="measured"):
        again.space.parse("1:input,output")
    other = import_nasbench101(write(tmp_path / "o.tfrecord", release(150, seed=1)[0]))
    assert other.checksum != b.checksum


def test_checksums_tell_tables_of_other_cells_apart(tmp_path: Path) -> None:
    """Two tables of one size and the same numbers, on different cells."""
    rows, _ = release(3)
    alone = [row for row in rows if row[0] == FIRST_HASH]
    one = import_nasbench101(write(tmp_path / "a", alone))
    code = SPACE.parse("1:input,output")
    other = [[SPACE.official_hash(code), 108, "0100", "input,output", row[4]] for row in alone]
    two = import_nasbench101(write(tmp_path / "b", other))
    assert np.array_equal(one.rows, two.rows)
    assert all(np.array_equal(one.columns[c], two.columns[c]) for c in one.columns)
    assert one.checksum != two.checksum


def changed(row: Row, at: int, value: Any) -> Row:
    return [*row[:at], value, *row[at + 1 :]]


def with_message(row: Row, change: Callable[[bytes], bytes]) -> Row:
    return changed(row, 4, base64.b64encode(change(base64.b64decode(row[4]))).decode())


ONE = text(1, evaluation(54.0, 1.0, [0.5, 0.5, 0.5]))
END = text(1, evaluation(108.0, 2.0, [0.9] * 3))


def first(change: Callable[[bytes], bytes]) -> Callable[[list[Row]], list[Row]]:
    """The first row with another message."""
    return lambda rows: [with_message(rows[0], change), *rows[1:]]


BAD: dict[str, tuple[Callable[[list[Row]], list[Row]], str]] = {
    "a repeat missing": (lambda rows: rows[1:], "2 of [0-9a-f]{32}"),
    "the file twice": (lambda rows: rows + rows, "6 of [0-9a-f]{32}"),
    "another hash": (lambda rows: [changed(rows[0], 0, "0" * 32), *rows[1:]], "a cell whose hash is"),
    "no list": (lambda rows: [{"a": 1}, *rows], "another structure"),  # type: ignore[list-item]
    "epochs as a truth": (lambda rows: [changed(rows[0], 1, True), *rows[1:]], "another structure"),
    "a run of another length": (lambda rows: [changed(rows[0], 1, 54), *rows[1:]], "54 epochs"),
    "an unknown operation": (
        lambda rows: [changed(rows[0], 3, rows[0][3].replace("output", "conv5x5")), *rows[1:]],
        "no cell of the space",
    ),
    "no square": (lambda rows: [changed(rows[0], 2, rows[0][2] + "0"), *rows[1:]], "no cell of the space"),
    "backward edges": (
        lambda rows: [changed(rows[0], 2, rows[0][2][::-1].replace("0", "1")), *rows[1:]],
        "no cell",
    ),
    "no base64": (lambda rows: [changed(rows[0], 4, "%%%"), *rows[1:]], "record 0"),
    "a message cut off": (first(lambda m: m[:-3]), "cut off"),
    "an empty message": (first(lambda m: b""), "0 evaluations"),
    "groups": (first(lambda m: m + b"\x3b"), "wire type 3"),
    "an endless number": (
        first(lambda m: m + b"\x10" + b"\xff" * 11),
        "ten bytes",
    ),
    "two evaluations": (
        first(lambda m: ONE + ONE),
        "2 evaluations",
    ),
    "wrong epochs": (
        first(lambda m: ONE + ONE + ONE + b"\x10\x05"),
        "where 108 was due",
    ),
    "an accuracy in percent": (
        first(lambda m: ONE + ONE + text(1, evaluation(108.0, 2.0, [99.0, 90.0, 90.0])) + b"\x10\x05"),
        "outside of 0 to 1",
    ),
    "no parameters": (
        first(lambda m: ONE + ONE + END),
        "no number of parameters",
    ),
    "other parameters": (
        lambda rows: [
            *rows,
            with_message(
                rows[0], lambda m: ONE + ONE + text(1, evaluation(108.0, 2.0, [0.9] * 3)) + b"\x10\x05"
            ),
        ],
        "parameters of",
    ),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_records_are_refused(tmp_path: Path, what: str) -> None:
    change, match = BAD[what]
    file = write(tmp_path / "bad.tfrecord", change(release(4)[0]))
    with pytest.raises(BenchmarkError, match=match) as error:
        import_nasbench101(file)
    assert "nothing was written" in error.value.remedy


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    rows, _ = release(20)
    good = write(tmp_path / "good", rows).read_bytes()
    file = tmp_path / "bad"
    ends = {0}
    at = 0
    while at < len(good):
        at += 16 + struct.unpack_from("<Q", good, at)[0]
        ends.add(at)
    for size in np.random.default_rng(0).integers(0, len(good), 60).tolist():
        file.write_bytes(good[:size])
        match = "of every cell|2 of|1 of" if size in ends - {0} else "a whole TFRecord file"
        with pytest.raises(BenchmarkError, match=match):
            import_nasbench101(file)
    for at in np.random.default_rng(1).integers(0, len(good), 60).tolist():
        file.write_bytes(good[:at] + bytes([good[at] ^ 4]) + good[at + 1 :])
        with pytest.raises(BenchmarkError, match="a whole TFRecord file"):
            import_nasbench101(file)
    for path in (tmp_path / "nothing", tmp_path):
        with pytest.raises(BenchmarkError, match="TFRecord"):
            import_nasbench101(path)


def test_messages_by_hand() -> None:
    message = b"\x08\x96\x01" + double(2, 0.5) + b"\x1d\0\0\0\0" + text(4, b"ab") + text(4, b"")
    assert read_message(message) == {1: [150], 2: [0.5], 4: [b"ab", b""]}


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, out = write(tmp_path / "n.tfrecord", release(5)[0]), tmp_path / "nb101.parquet"
    main(["data", "import", "nasbench101", str(file), "--out", str(out)])
    assert "cifar10" in capsys.readouterr().out
    assert len(archwalk.load_benchmark(out)) == 6
    file.write_bytes(file.read_bytes()[:-1])
    out.unlink()
    with pytest.raises(SystemExit, match="2"):
        main(["data", "import", "nasbench101", str(file), "--out", str(out)])
    assert not out.exists()
