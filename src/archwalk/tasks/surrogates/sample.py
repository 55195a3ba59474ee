"""A sample of measured architectures, read from anybody's table.

In: a CSV or Parquet file, one row an architecture, and a space. Out: distinct codes and the values of the
metrics asked for, each with its direction. Next: ``fit`` fits models to them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl

from archwalk.errors import ArchitectureError, BenchmarkError, unknown
from archwalk.spaces.base import PAD, Codes, SearchSpace
from archwalk.spaces.correspondence import slots_of
from archwalk.spaces.declared import DeclaredSpace, ListedDeclaredSpace
from archwalk.tasks.frames import as_chosen, numbers, read_frame, texts
from archwalk.tasks.importers import read_address
from archwalk.tasks.metrics import (
    COSTS,
    METRICS,
    Column,
    Metric,
    directions,
    find_meant,
    is_aside,
    metric_to_search,
    said_of,
    split_name,
)
from archwalk.tasks.surrogates.models import Floats
from archwalk.tasks.table import check_range

ARCH = "arch"


@dataclass(frozen=True)
class Sample:
    """Measured architectures, each once.

    Attributes:
        codes: [n, slots].
        columns: what was measured, the reward first.
        metrics: direction, unit and range of each column.
        values: [n, columns]; NaN is a missing value.
        rows: of the file; where an architecture has several, its values are their means.
        checksum: SHA-256 of the file.
    """

    codes: Codes
    columns: tuple[Column, ...]
    metrics: tuple[Metric, ...]
    values: Floats
    rows: int
    checksum: str


def read_sample(
    file: str | Path,
    space: SearchSpace,
    task: str,
    metrics: Sequence[str] = (),
    *,
    minimise: Sequence[str] = (),
    maximise: Sequence[str] = (),
) -> Sample:
    """Read a wide table.

    An architecture is a string in the column ``arch``, or a choice in a column for each slot, in any order;
    an empty cell is an absent slot. Every other column is a measurement, called ``metric`` or
    ``task/metric/split/epoch`` (see ``importers.import_table``).

    Args:
        file: CSV or Parquet.
        space: of the architectures.
        task: its columns, and those that name no task, are the task's.
        metrics: ``metric``, ``metric/split``, ``metric/split/epoch`` or the column's name, the reward first;
            by default the one obvious metric.
        minimise: metrics that are better when smaller.
        maximise: metrics that are better when larger, though their names speak of a cost.

    Raises:
        BenchmarkError: missing, strange or non-numeric columns; a direction that must be declared.
        ArchitectureError: a row that is no architecture of the space.
    """
    path = Path(file)
    frame = read_frame(path)
    names = slots_of(space)
    if ARCH in frame.columns:
        keys: tuple[str, ...] = (ARCH,)
        codes = _parse_rows(frame[ARCH], space)
    elif names is None:
        raise BenchmarkError(
            f"architectures of the space {space.name!r} as strings in a column {ARCH!r}",
            f"the columns {', '.join(frame.columns[:8])}",
            "add the column; the space has no named slots",
        )
    else:
        keys = tuple(names)
        codes = _encode_rows(frame, space, names)
    found = _measurements(frame, keys, task)
    chosen = [_choose(found, wanted, task) for wanted in metrics] if metrics else [_obvious(found, task)]
    twice = {c.metric for c in chosen if [o.metric for o in chosen].count(c.metric) > 1}
    if twice:
        raise BenchmarkError("each metric once", f"{min(twice)!r} twice", "give one split and epoch of it")
    declared = _directions([c.metric for c in chosen], minimise, maximise)
    values = np.column_stack([numbers(frame[found[column]]) for column in chosen])
    most = np.where(np.isnan(values), -np.inf, values).max(0)
    small = (most <= 1) & (most > -np.inf)
    declared = tuple(m.as_fraction() if s else m for m, s in zip(declared, small, strict=True))
    for column, metric, of_column in zip(chosen, declared, values.T, strict=True):
        check_range(column, of_column, metric)
    distinct, at, counts = np.unique(codes, axis=0, return_inverse=True, return_counts=True)
    if len(distinct) < len(codes):
        sums = np.zeros((len(distinct), values.shape[1]))
        np.add.at(sums, at.reshape(-1), values)  # NaN in one measurement leaves the architecture without
        values = sums / counts[:, None]
    else:
        distinct = codes
    checksum = hashlib.sha256(path.read_bytes()).hexdigest()
    return Sample(distinct, tuple(chosen), declared, values, len(frame), checksum)


def ordered_slots(space: SearchSpace) -> tuple[bool, ...]:
    """Whether the choices of each slot have an order: declared so, or numbers that rise, [slots]."""
    declared = space.space if isinstance(space, ListedDeclaredSpace) else space
    kinds: Sequence[str] = ("categorical",) * len(space.slot_sizes)
    if isinstance(declared, DeclaredSpace):
        kinds = declared.declaration.kinds
    names = slots_of(space)
    choices = list(names.values()) if names else [()] * len(space.slot_sizes)
    return tuple(k != "categorical" or _rising(c) for k, c in zip(kinds, choices, strict=True))


def _rising(choices: Sequence[str]) -> bool:
    try:
        numbers = [float(c) for c in choices]
    except ValueError:
        return False
    return len(numbers) > 0 and all(a < b for a, b in pairwise(numbers))


def _parse_rows(column: pl.Series, space: SearchSpace) -> Codes:
    written = texts(column)
    if None in written:
        raise BenchmarkError(
            f"an architecture in every row of {ARCH!r}", f"{written.count(None):,} empty", "fill them in"
        )
    try:
        return space.rows([str(text) for text in written])
    except ArchitectureError as error:
        raise BenchmarkError(f"a sample of the space {space.name!r}", error.got, error.remedy) from error


def _encode_rows(frame: pl.DataFrame, space: SearchSpace, names: Mapping[str, Sequence[str]]) -> Codes:
    """Codes of a column for each slot, [rows, slots]."""
    missing = [slot for slot in names if slot not in frame.columns]
    if missing:
        raise BenchmarkError(
            f"a column for each slot of the space {space.name!r}, or a column {ARCH!r}",
            f"none for {', '.join(missing)}; there are {', '.join(frame.columns[:12])}",
            "rename or add the columns, or use the space that the sample is of",
        )
    codes = np.full((len(frame), len(names)), PAD, dtype=np.int16)
    for s, (slot, choices) in enumerate(names.items()):
        place = {text: v for v, text in enumerate(choices)}
        for text, rows in _texts(frame[slot], choices).items():
            if text not in place and text != "":
                what = f"choice of slot {slot!r} of the space {space.name!r}"
                raise BenchmarkError(*unknown(what, text, choices))
            codes[rows, s] = place.get(text, PAD)
    base = space.space if isinstance(space, ListedDeclaredSpace) else space
    if isinstance(base, DeclaredSpace):
        strange = np.flatnonzero(~base.contains(codes))
        if len(strange):  # says which condition or forbidden combination
            row = codes[strange[0]].tolist()
            base.encode({slot: c[v] for (slot, c), v in zip(names.items(), row, strict=True) if v >= 0})
    elif (codes < 0).any():
        row, s = np.argwhere(codes < 0)[0]
        raise BenchmarkError(
            f"a choice of slot {list(names)[s]!r} in every row",
            f"an empty cell in row {row + 1}",
            "fill it in",
        )
    return codes


def _texts(column: pl.Series, choices: Container[str]) -> dict[str, np.ndarray]:
    """Text, as the choices are written → the rows in which it stands; an empty cell as ''."""
    found = texts(column)
    meant = {text: as_chosen(text, choices) for text in {*found}}
    written = np.array([meant[text] or "" for text in found], dtype=object)
    order = np.argsort(written, kind="stable")
    starts = np.flatnonzero(np.r_[True, written[order][1:] != written[order][:-1]])
    return {str(written[rows[0]]): rows for rows in np.split(order, starts[1:])}


def _measurements(frame: pl.DataFrame, keys: Sequence[str], task: str) -> dict[Column, str]:
    """Address → column of the file, of one task."""
    found: dict[Column, str] = {}
    others = set()
    for name in frame.columns:
        if name in keys:
            continue
        column, _ = read_address(name)
        if "/" in name and column.task != task:
            others.add(column.task)
            continue
        column = column._replace(task=task)
        numbers(frame[name])  # raises: neither a slot of the space nor a measurement
        if column in found:
            raise BenchmarkError(f"one column for {column}", f"a second one, {name!r}", "rename it")
        found[column] = name
    if not found:
        raise BenchmarkError(*unknown("task with measurements", task, sorted(others)))
    return found


def _choose(found: Mapping[Column, str], wanted: str, task: str) -> Column:
    """The column of that name in the file or ``metric[/split[/epoch]]``; valid and final before others."""
    named = [column for column, name in found.items() if name == wanted]
    if named:
        return named[0]
    metric, *rest = wanted.split("/")
    plain, said = split_name(metric)
    if said is not None and not rest:
        metric, rest = plain, [said]
    known = [c for c in found if c.metric == metric and list(c[2 : 2 + len(rest)]) == rest]
    for split in ("valid", "none"):
        here = [c for c in known if c.split == split]
        if here and not rest:
            known = here
            break
    if len(known) == 1:
        return known[0]
    final = [c for c in known if c.epoch == "final"]
    if len(final) == 1:
        return final[0]
    shown = sorted("/".join(c[1:]) for c in (known or found))
    if known:
        raise BenchmarkError(f"one column of {task!r} for {wanted!r}", ", ".join(shown), "name one of them")
    raise BenchmarkError(*unknown(f"metric of the task {task!r}", wanted, shown))


def _obvious(found: Mapping[Column, str], task: str) -> Column:
    """The preferred validation metric, or the only one."""
    valid = {c.metric for c in found if c.split == "valid" and not is_aside(c.metric)}
    names = [m for m in METRICS if m in valid and m not in COSTS][:1] or sorted(valid)
    if len(names) != 1:
        shown = sorted("/".join(c[1:]) for c in found)
        raise BenchmarkError(
            f"one obvious metric of the task {task!r}", ", ".join(shown), "name it with --metric"
        )
    return _choose(found, names[0], task)


def _directions(names: Sequence[str], minimise: Sequence[str], maximise: Sequence[str]) -> tuple[Metric, ...]:
    said = directions(minimise, maximise)
    for name in said:
        if find_meant(name, names) is None:
            raise BenchmarkError(*unknown("metric to be fitted, in --minimise or --maximise", name, names))
    return tuple(metric_to_search(name, said_of(name, said)) for name in names)
