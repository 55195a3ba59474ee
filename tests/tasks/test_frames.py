"""Text stays text, numbers are numbers, and what is missing is missing, however it is spelled."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from archwalk.errors import ArchwalkError, BenchmarkError
from archwalk.tasks.frames import natural_order, numbers, read_frame, texts
from archwalk.tasks.importers import import_table

TEXTS = [
    "010",
    "10",
    "1e-05",
    "0.00001",
    "True",
    "true",
    "200",
    "200.0",
    "None",
    "nan",
    "NA",
    "conv 3x3",
    "é",
    "-",
]
MISSING = [
    "",
    "nan",
    "NaN",
    "-nan",
    "NA",
    "N/A",
    "n/a",
    "None",
    "null",
    "NULL",
    "-",
    "--",
    "<NA>",
    "#N/A",
    "NaT",
    "?",
]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None)
@given(
    st.lists(st.sampled_from(TEXTS), min_size=2, max_size=6, unique=True), st.sampled_from(["csv", "parquet"])
)
def test_slots_are_text_as_written(tmp_path: Path, choices: list[str], form: str) -> None:
    file = tmp_path / f"t.{form}"
    frame = pl.DataFrame({"s": choices, "val_acc": [50.0 + i for i in range(len(choices))]})
    frame.write_csv(file) if form == "csv" else frame.write_parquet(file)
    found = import_table(file, "slots", slots=["s"])
    assert sorted(found.space.describe()["slots"]["s"]) == sorted(choices)
    for i, choice in enumerate(choices):
        assert found.values("main")[found.index(choice)] == 50.0 + i


@pytest.mark.parametrize(
    ("column", "written"),
    [
        (pl.Series("s", [1, 10, None]), ["1", "10", None]),
        (pl.Series("s", [1e-05, 200.0, float("nan")]), ["1e-05", "200.0", None]),
        (pl.Series("s", [0.1, 2.5], dtype=pl.Float32), ["0.1", "2.5"]),
        (pl.Series("s", [True, False]), ["True", "False"]),
        (pl.Series("s", ["010", "", None]), ["010", None, None]),
        (pl.Series("s", ["b", "a"], dtype=pl.Categorical), ["b", "a"]),
    ],
)
def test_a_typed_column_reads_as_python_writes_it(column: pl.Series, written: list) -> None:
    assert texts(column) == written


@pytest.mark.parametrize("values", [[[1, 2], [3]], [{"a": 1}, {"a": 2}], [b"x", b"y"]])
def test_a_nested_column_is_refused(tmp_path: Path, values: list) -> None:
    pl.DataFrame({"arch": values, "val_acc": [70.0, 71]}).write_parquet(tmp_path / "l.parquet")
    with pytest.raises(BenchmarkError, match="column 'arch'"):
        import_table(tmp_path / "l.parquet", "slots", slots=["arch"])


@given(st.sampled_from(MISSING), st.floats(-1e9, 1e9), st.sampled_from(["", " ", "  "]))
def test_every_spelling_of_missing_is_missing(spelling: str, value: float, blank: str) -> None:
    found = numbers(pl.Series("c", [f"{blank}{spelling}{blank}", f"{blank}{value!r}", f"+{abs(value)!r}"]))
    assert math.isnan(found[0])
    assert found[1:].tolist() == [value, abs(value)]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("73%", "without the sign"),
        ("1,234.5", "with a point"),
        ("70,5", "with a point"),
        ("1_000", "row 2"),
        ("0x1F", "row 2"),
        ("abc", "belongs into --slots"),
        ("1.2.3", "row 2"),
        ("True", "row 2"),
        ("x" * 5_000, "characters"),
    ],
)
def test_what_is_no_number_is_named(text: str, says: str) -> None:
    with pytest.raises(BenchmarkError, match=says) as caught:
        numbers(pl.Series("c", ["1", text]))
    assert "'c'" in str(caught.value)
    assert len(str(caught.value)) < 1_000


def test_infinities_are_told_apart_from_missing(tmp_path: Path) -> None:
    assert numbers(pl.Series("c", ["inf", "-Infinity", "-nan"]))[:2].tolist() == [np.inf, -np.inf]
    (tmp_path / "t.csv").write_text("s,val_f1\na,inf\nb,1\nc,2\n")
    with pytest.raises(BenchmarkError, match=r"at most 1e\+30"):
        import_table(tmp_path / "t.csv", "slots", slots=["s"])


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"op;k;val_acc\na;x;70,5\n", "semicolons"),
        (b"op\tk\tval_acc\na\tx\t70\n", "tabs"),
        ("op,k,val_acc\na,x,70\n".encode("utf-16"), "UTF-16"),
        ("op,k\né,x\n".encode("latin-1"), "not UTF-8"),
        (b'[{"op": "a", "val_acc": 70}]', "JSON"),
        (b'{"op": ["a"]}', "JSON"),
        (b"PK\x03\x04", "an archive"),
        (b"\x1f\x8b\x08", "gzip"),
        (b"\x80\x04\x95", "pickle"),
        (b"<html><table>", "HTML"),
        (b"op,k,val_acc\n", "one row"),
        (b"", "readable"),
        (b"op,op,val_acc\na,b,70\n", "two columns are called 'op'"),
        (b"PAR1 nonsense PAR1", "readable"),
        (b"op,k,val_acc\na,x,70\nb,x\n", "line 3 has 2 fields"),
        (b"op,k,val_acc\na,x,70\nb,x,70,5\n", "line 3 has 4 fields"),
        (b"# made by hand\nop,k,val_acc\na,x,70\n", "line 2 has 3 fields"),
        (b'op,k,val_acc\na,"x,70\n', "line 2"),
    ],
)
def test_other_files_are_recognised(tmp_path: Path, content: bytes, says: str) -> None:
    file = tmp_path / "t.csv"
    file.write_bytes(content)
    with pytest.raises(BenchmarkError, match=says):
        read_frame(file)


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\n\n", b"\r\n\r\n"])
def test_lines_end_as_they_do(tmp_path: Path, end: bytes) -> None:
    (tmp_path / "t.csv").write_bytes(end.join([b'op,"val_acc"', b'"a, b",70', b'"c ""d""",71', b""]))
    frame = read_frame(tmp_path / "t.csv")
    assert frame.rows() == [("a, b", "70"), ('c "d"', "71")]


def test_a_byte_order_mark_is_no_part_of_a_name(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(b"\xef\xbb\xbfop,val_acc\na,70\nb,71\n")
    assert read_frame(tmp_path / "t.csv").columns == ["op", "val_acc"]


def test_choices_that_cannot_be_one_slot(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_text("net,val_acc\n" + "".join(f'"({i}, {i})",7{i % 10}\n' for i in range(300)))
    with pytest.raises(BenchmarkError, match="one a slot") as caught:
        import_table(file, "slots", slots=["net"])
    assert len(str(caught.value)) < 1_000
    file.write_text("units,val_acc\n" + "".join(f"{i},{50 + i / 10}\n" for i in range(200)))
    with pytest.raises(ArchwalkError, match="units") as caught:
        import_table(file, "slots", slots=["units"])
    assert "200 in slot 'units'" in str(caught.value)
    file.write_text("op,val_acc\na,70\n a,71\n")
    with pytest.raises(BenchmarkError, match="more than blanks"):
        import_table(file, "slots", slots=["op"])


@given(st.lists(st.integers(-1000, 1000), min_size=1, unique=True))
def test_numbers_are_in_the_order_of_their_values(values: list[int]) -> None:
    assert natural_order(map(str, values)) == [str(value) for value in sorted(values)]
