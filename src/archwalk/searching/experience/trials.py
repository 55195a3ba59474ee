"""Tables of trials, as they are written down by anybody: a row a trial.

In: a CSV or Parquet file, and the space in which a search is about to begin. Out: ``Measured``: architectures
of that space with what one task said of them. Next: ``fitting`` makes sources of them.

An architecture is a column ``architecture`` or ``arch``, or one column a slot, by name and value, whatever
their order. A column ``task`` makes each task one ``Measured``. A trial without a number, or whose column
``status`` does not say that it went well, has failed. A tidy table (``arch, task, metric, split, epoch,
value``) holds named measurements instead, as a benchmark does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from archwalk.errors import ArchitectureError, SearchError, unknown
from archwalk.searching.experience.fitting import Directed, Floats, Measured
from archwalk.spaces.base import PAD, Codes, SearchSpace
from archwalk.spaces.correspondence import carry, contains, slots_of, whole_of
from archwalk.spaces.registry import find_space
from archwalk.tasks.importers import TIDY
from archwalk.tasks.metrics import Column, Metric

STRINGS = ("architecture", "arch")
_WELL = ("ok", "complete", "completed", "success", "succeeded")


def read_trials(
    frame: pl.DataFrame,
    file: Path,
    named: str,
    space: SearchSpace,
    goals: Sequence[Metric],
    directed: Directed,
) -> list[Measured]:
    """The trials of a file, a task each.

    Args:
        frame: its rows.
        file: its name, for messages and sources.
        named: the metric to take; empty: the user named none.
        space: that is searched.
        goals: the metrics that are searched; the one that the file has is taken.
        directed: says of which metric more or less is better.

    Raises:
        ArchwalkError: other slots, no architecture of the space, no metric or more than one that could be
            meant, or one whose direction is not known.
    """
    codes, rest = architectures_of(frame, file, space)
    about = [c for c in rest if c in ("task", "status")]
    metric = _metric(frame, file, named, [c for c in rest if c not in about], goals)
    values = numbers(frame[metric]) * directed(metric).scale
    if "status" in about:
        values[[text.lower() not in _WELL for text in _texts(frame["status"])]] = np.nan
    if "task" not in about:
        return [Measured(file.stem, codes, values)]
    tasks = np.array(_texts(frame["task"]))
    return [
        Measured(f"{file.stem}/{task}", codes[tasks == task], values[tasks == task])
        for task in sorted(set(tasks.tolist()))
    ]


def architectures_of(frame: pl.DataFrame, file: Path, space: SearchSpace) -> tuple[Codes, list[str]]:
    """The architectures of a table, by their strings or by their slots.

    Returns:
        Codes [rows, S], a row of padding for what the space does not have; and the other columns.

    Raises:
        ArchwalkError: other slots, or no architecture of the space.
    """
    slots = slots_of(space)
    keys = next(((name,) for name in STRINGS if name in frame.columns), tuple(slots or ()))
    strangers = [key for key in keys if key not in frame.columns]
    if strangers or not keys:
        or_slots = f", or one a slot: {', '.join(slots)}" if slots else ""
        raise SearchError(
            f"architectures of the space {space.name!r}: a column 'architecture'{or_slots}",
            f"{file} with the columns {', '.join(frame.columns)}",
            "rename the columns, or name trials of this space",
        )
    beside = {*keys, *STRINGS, *(slots or ())}  # a file may have both, the string and the slots
    rest = [c for c in frame.columns if c not in beside]
    if keys[0] in STRINGS:
        return codes_of(_texts(frame[keys[0]]), space), rest
    return _codes_of_slots({key: _texts(frame[key]) for key in keys}, space), rest


def _metric(
    frame: pl.DataFrame, file: Path, named: str, columns: Sequence[str], goals: Sequence[Metric]
) -> str:
    """The column to take."""
    if named:
        if named not in columns:
            raise SearchError(*unknown(f"metric of {file}", named, columns))
        return named
    searched = list(dict.fromkeys(goal.name for goal in goals))
    hit = [name for name in searched if name in columns]
    if len(hit) == 1:
        return hit[0]
    some = hit or [c for c in columns if np.isfinite(numbers(frame[c])).any()]
    if len(some) != 1:
        raise SearchError(
            f"the metric {' or '.join(map(repr, searched))} in {file}, or another one alone",
            ", ".join(some) or "no column with numbers",
            f"name the one to take: --experience {file}:METRIC" if some else "add a column of results",
        )
    return some[0]


def numbers(column: pl.Series) -> Floats:
    """Cells as numbers, [n]; NaN for what is missing, infinite or no number."""
    if column.dtype == pl.String:
        column = column.str.strip_chars()
    if not (column.dtype.is_numeric() or column.dtype in (pl.String, pl.Boolean)):
        return np.full(len(column), np.nan)
    values = column.cast(pl.Float64, strict=False).fill_null(float("nan")).to_numpy().copy()
    values[~np.isfinite(values)] = np.nan
    return np.asarray(values, dtype=np.float64)


def _texts(column: pl.Series) -> list[str]:
    """Cells as text; an empty one where there is nothing."""
    try:
        return column.cast(pl.String).fill_null("").str.strip_chars().to_list()
    except pl.exceptions.PolarsError as error:
        raise SearchError(
            f"texts or numbers in the column {column.name!r}", str(column.dtype), "write them as text"
        ) from error


def codes_of(texts: Sequence[str], space: SearchSpace) -> Codes:
    """Codes of architecture strings, of the space or of a named one with the same slots, [n, S].

    Returns:
        A row of padding for a string that is none of the space's.

    Raises:
        ArchitectureError: none of them is.
    """
    whole = whole_of(space)
    rows: dict[str, NDArray[np.int16]] = {}
    first: tuple[str, ArchitectureError] | None = None
    for text in dict.fromkeys(texts):
        try:
            rows[text] = whole.rows([text])[0]
        except ArchitectureError as error:
            first = first or (text, error)
    if first is not None and not rows:  # they may all be of a space that has another name
        try:
            other = find_space(first[0])
            strings = list(dict.fromkeys(texts))
            rows = dict(zip(strings, carry(other.rows(strings), other, space), strict=True))
        except ArchitectureError:
            raise first[1] from None
    absent = np.full(len(whole.slot_sizes), PAD, dtype=np.int16)
    found = [rows.get(text, absent) for text in texts]
    return np.stack(found) if found else absent[None][:0]


def _codes_of_slots(cells: Mapping[str, Sequence[str]], space: SearchSpace) -> Codes:
    """Codes of choices by slot, [n, S]; a row of padding for what the space does not have.

    Raises:
        ArchitectureError: no row is an architecture of it.
    """
    slots = slots_of(space) or {}
    n = len(next(iter(cells.values())))
    codes = np.full((n, len(slots)), PAD, dtype=np.int16)
    good = np.ones(n, dtype=np.bool_)
    stranger: tuple[str, str] | None = None
    for s, (slot, choices) in enumerate(slots.items()):
        place = {cell: _choice(cell, choices) for cell in dict.fromkeys(cells[slot])}
        column = np.array([place[cell] for cell in cells[slot]], dtype=np.int16)
        good &= column >= PAD
        stranger = stranger or next(((slot, cell) for cell, v in place.items() if v < PAD), None)
        codes[:, s] = np.maximum(column, PAD)
    codes[~good] = PAD
    good &= contains(space, codes)
    codes[~good] = PAD
    if n and not good.any():
        if stranger:
            what = f"choice of slot {stranger[0]!r} of the space {space.name!r}"
            raise ArchitectureError(*unknown(what, stranger[1], slots[stranger[0]]))
        row = ", ".join(f"{slot}={column[0]}" for slot, column in cells.items())
        raise ArchitectureError(
            f"architectures of the space {space.name!r}",
            f"{n:,} that are none, the first one {row}",
            "name trials of this space; leave the cells of absent slots empty",
        )
    return codes


def _choice(cell: str, choices: Sequence[str]) -> int:
    """Position of a choice by its value; ``PAD`` for an empty cell, below it for a stranger."""
    if cell in choices:
        return choices.index(cell)
    if cell == "":
        return PAD
    for v, choice in enumerate(choices):
        if choice.strip() == cell or (choice in ("true", "false") and choice == cell.lower()):
            return v
        try:
            if float(choice) == float(cell):
                return v
        except ValueError:
            continue
    return PAD - 1


def read_tidy(frame: pl.DataFrame, space: SearchSpace) -> tuple[Codes, dict[Column, Floats]]:
    """A tidy table: its architectures as codes of the space, [n, S], and its columns, [n] each.

    Returns:
        A row of padding for an architecture that the space does not have; NaN for a missing value.

    Raises:
        ArchitectureError: none of them is of the space.
        SearchError: a measurement twice.
    """
    texts = frame.select(pl.col(c).cast(pl.String).fill_null("none") for c in TIDY[:5])
    twice = texts.filter(texts.is_duplicated())
    if len(twice):
        raise SearchError("each measurement once", f"{twice.row(0)} twice", "remove one of them")
    archs = texts["arch"].unique(maintain_order=True)
    place = pl.DataFrame({"arch": archs, "at": np.arange(len(archs))})
    long = texts.with_columns(value=pl.Series(numbers(frame["value"]))).join(place, on="arch", how="left")
    columns: dict[Column, Floats] = {}
    for key, group in long.group_by(list(TIDY[1:5]), maintain_order=True):
        values = np.full(len(archs), np.nan)
        values[group["at"].to_numpy()] = group["value"].to_numpy()
        columns[Column(*map(str, key))] = values
    return codes_of(archs.to_list(), space), columns
