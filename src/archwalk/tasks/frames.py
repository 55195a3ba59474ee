"""Anybody's CSV or Parquet file as text: nothing is a number before somebody asks for numbers.

In: a file. Out: a frame; ``texts`` of a column as written, ``numbers`` of a measurement. Next: ``importers``
and ``surrogates.sample`` take the columns apart.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Container, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from archwalk.errors import BenchmarkError, reason, shortened

# How libraries write that there is no value, in small letters: pandas, numpy, R, spreadsheets, SQL, JSON.
MISSING = re.compile(
    r"|[+-]?nan|<?na>?|n/a|n\.a\.|#n/?a|#value!|#div/0!|-?1\.#(qnan|ind)|none|null|nil|nat|--?|\?|\.|\\n|missing|"
    r"undefined"
)
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_REMEDY = "save it as CSV with commas, in UTF-8, or as Parquet"
_BEGINNINGS = {
    b"PK": "an archive, such as a spreadsheet",
    b"\x1f\x8b": "a file packed with gzip",
    b"SQLite format": "an SQLite database",
    b"\x89HDF": "an HDF5 file",
    b"\x93NUMPY": "an array of numpy",
    b"<": "HTML or XML",
}


def read_frame(path: Path) -> pl.DataFrame:
    """A CSV file, every column of it text, or a Parquet file.

    Raises:
        BenchmarkError: it is neither, or not readable; what it seems to be instead is said.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise BenchmarkError(
            "a CSV or Parquet table", f"{path}: {error.strerror}", "check the path"
        ) from error
    if content[:4] != b"PAR1":
        content = _plain_text(content, path)
    try:
        frame = pl.read_parquet(content) if content[:4] == b"PAR1" else _read_csv(content)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, ValueError, OSError) as error:
        raise BenchmarkError(
            "a readable CSV or Parquet table", f"{path}: {reason(error)}", _REMEDY
        ) from error
    if len(frame) == 0:
        raise BenchmarkError(
            "at least one row beneath the names of the columns",
            f"none in {path}",
            "check that the file is whole",
        )
    return frame


def _read_csv(content: bytes) -> pl.DataFrame:
    """Rows of as many fields as there are names, all of them text; empty lines are none."""
    lines = csv.reader(io.StringIO(content.decode(), newline=""), strict=True)
    try:
        rows = [(lines.line_num, row) for row in lines if row]
    except csv.Error as error:
        raise ValueError(f"line {lines.line_num}: {error}") from error
    if not rows:
        raise ValueError("an empty file")
    (_, names), *rows = rows
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"two columns are called {twice[0]!r}")
    for line, row in rows:
        if len(row) != len(names):
            raise ValueError(f"line {line} has {len(row)} fields, and the names above are {len(names)}")
    columns = list(zip(*(row for _, row in rows), strict=True)) or [()] * len(names)
    text = {name: [cell or None for cell in column] for name, column in zip(names, columns, strict=True)}
    return pl.DataFrame(text, schema=dict.fromkeys(names, pl.String))


def _plain_text(content: bytes, path: Path) -> bytes:
    """What is to be read as CSV, if it can be."""
    strange = _what_else(content)
    if strange:
        raise BenchmarkError("a CSV or Parquet table", f"{path}, {strange}", _REMEDY)
    content = content.removeprefix(b"\xef\xbb\xbf")
    line = content.lstrip().partition(b"\n")[0].decode(errors="replace")
    for separator, name in ((";", "semicolons"), ("\t", "tabs"), ("|", "bars")):
        if separator in line and line.count(separator) > line.count(","):
            raise BenchmarkError(
                "a table whose columns are separated by commas",
                f"{path}, separated by {name}: {shortened(line.strip(), 80)!r}",
                f"{_REMEDY}; numbers have a point, as 70.5",
            )
    return content


def _what_else(content: bytes) -> str:
    if content[:1] == b"\x80" and content[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        return "a pickle, which is not read: it could execute anything"
    for beginning, kind in _BEGINNINGS.items():
        if content.lstrip().startswith(beginning):
            return kind
    if content[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\x00" in content[:1000]:
        return "which is UTF-16 or no text"
    if re.match(rb"\s*[\[{]\s*([\[{\"\]}]|\d)", content):
        return "a JSON file"
    try:
        content.decode()
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        return f"which is not UTF-8: byte {content[error.start]:#x} in line {line}"
    return ""


def texts(column: pl.Series) -> list[str | None]:
    """A column as written: of a typed one, as Python writes its values; None where nothing is written.

    Raises:
        BenchmarkError: a column of lists, structures or bytes.
    """
    kind = column.dtype
    if kind.is_nested() or kind in (pl.Binary, pl.Object):
        raise BenchmarkError(
            f"text or numbers in the column {column.name!r}",
            f"values of the type {kind}",
            "give each part a column of its own, such as one a slot",
        )
    if kind == pl.String:
        return [None if value == "" else value for value in column.to_list()]
    if kind in (pl.Categorical, pl.Enum):
        return column.cast(pl.String).to_list()
    if kind == pl.Float32:  # 0.1 and not 0.10000000149011612
        return [None if v is None or math.isnan(v) else str(np.float32(v)) for v in column.to_list()]
    return [None if _is_nothing(v) else str(v) for v in column.to_list()]


def _is_nothing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def numbers(column: pl.Series) -> NDArray[np.float64]:
    """A measurement, [rows]; NaN where a value is missing, however that is spelled (``MISSING``).

    Raises:
        BenchmarkError: something else that is no number; row, column and value are named.
    """
    if column.dtype.is_numeric() or column.dtype.is_decimal():
        return column.cast(pl.Float64).fill_null(float("nan")).to_numpy().copy()
    written = column if column.dtype == pl.String else pl.Series(column.name, texts(column), pl.String)
    stripped = written.str.strip_chars()
    regular = stripped.str.contains(r"^-?[0-9]+(\.[0-9]+)?$").fill_null(False).to_numpy()
    values = np.full(len(written), np.nan)
    values[regular] = stripped.filter(pl.Series(regular)).cast(pl.Float64).to_numpy()
    for row in np.flatnonzero(~regular).tolist():
        text = stripped[row]
        if text is None or MISSING.fullmatch(text.lower()):
            continue
        if text.lower().lstrip("+-") in ("inf", "infinity"):
            values[row] = -np.inf if text[0] == "-" else np.inf
        elif _NUMBER.fullmatch(text):
            values[row] = float(text)
        else:
            raise _no_number(column.name, row, text)
    return values


def _no_number(name: str, row: int, text: str) -> BenchmarkError:
    remedy = (
        "correct it; a missing value is an empty field, a column of the architecture belongs into --slots, "
        "and one that is neither out of the table"
    )
    if text.rstrip("%").strip() != text and _NUMBER.fullmatch(text.rstrip("%").strip()):
        remedy = "write percentages as plain numbers, without the sign"
    elif re.fullmatch(r"[+-]?[\d.,' ]+", text):
        remedy = "write numbers with a point and without separators of thousands, as 1234.5"
    return BenchmarkError(
        f"numbers in the column {name!r}", f"{shortened(text, 80)!r} in row {row + 1}", remedy
    )


def as_chosen(text: str | None, choices: Container[str]) -> str | None:
    """A text as one of a slot's choices is written: 200.0, which libraries write for a whole number where
    cells of its column are empty, is 200 where that alone is a choice."""
    whole = re.fullmatch(r"(-?\d+)\.0+", text or "")
    return whole[1] if whole and text not in choices and whole[1] in choices else text


def natural_order(choices: Iterable[str]) -> list[str]:
    """Different texts, sorted: by value where all are numbers, else as text."""
    found = sorted(set(choices))
    if all(_NUMBER.fullmatch(choice) for choice in found):
        return sorted(found, key=lambda choice: (float(choice), choice))
    return found
