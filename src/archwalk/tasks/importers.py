"""Official releases and anybody's CSV or Parquet, turned into a ``Benchmark``.

In: a file. Out: a checked ``Benchmark``, to be saved in the package's format. Nothing in a file is executed.
"""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from archwalk.errors import BenchmarkError, reason, unknown
from archwalk.spaces.base import ListedSpace, listed
from archwalk.spaces.correspondence import slots_of
from archwalk.spaces.declared import ListedDeclaredSpace
from archwalk.spaces.registry import make_listed, open_space
from archwalk.tasks.frames import as_chosen, natural_order, numbers, read_frame, texts
from archwalk.tasks.metrics import COSTS, SPLITS, Column, directions, metric_for, split_name, split_of
from archwalk.tasks.rewards import choose_rewards, declare
from archwalk.tasks.table import Benchmark, make_benchmark

TIDY = ("arch", "task", "metric", "split", "epoch", "value")
TRANSNAS_SOURCE = (
    "TransNAS-Bench-101 (Duan et al., CVPR 2021), https://github.com/yawen-d/TransNASBench, MIT licence"
)


def import_table(
    file: str | Path,
    space: str,
    *,
    slots: Sequence[str] = (),
    name: str | None = None,
    rewards: Mapping[str, str] | None = None,
    minimise: Sequence[str] = (),
    maximise: Sequence[str] = (),
    source: str = "",
) -> Benchmark:
    """Any CSV or Parquet table of measured architectures.

    Tidy tables have the columns ``arch, task, metric, split, epoch, value``. Wide tables have one row an
    architecture, given by a column ``arch`` or by one column a slot (of a declared space by the slots' names,
    empty where a slot is absent), and one column a measurement, called
    ``task/metric/split/epoch``; the last two may be left out (``valid``, ``final``), and a name without
    slashes, such as ``acc``, ``val_acc`` or ``test_acc``, belongs to the task ``main``. Architectures, slots,
    tasks, metrics and epochs are text as written; only measurements are numbers (``frames``).

    Args:
        file: CSV (ending .csv) or Parquet.
        space: name of the search space or a file that declares it; ``slots`` for a space of the table's own.
        slots: the columns that make an architecture, for the space ``slots``; their choices are the texts
            that occur, in natural order.
        name: of the benchmark; the file's stem by default.
        rewards: task → ``metric/split/epoch`` of its reward column, where it is not certain (``rewards``) or
            another one is wanted.
        minimise: metrics that are better when smaller, beside those declared so.
        maximise: metrics that are better when larger, though their names speak of a cost.
        source: where the numbers come from.

    Raises:
        BenchmarkError, ArchitectureError, SettingsError: what is wrong with the table, and where.
    """
    path = Path(file)
    frame = read_frame(path)
    if set(TIDY) <= set(frame.columns):
        the_space, rows, columns = _read_tidy(frame, space, slots)
        plain: set[Column] = set()
    else:
        the_space, rows, columns, plain = _read_wide(frame, space, slots)
    said = directions(minimise, maximise)
    chosen = choose_rewards(columns, rewards or {}, said, plain)
    metrics = declare(columns, chosen, said)
    return make_benchmark(name or path.stem, the_space, rows, columns, metrics, chosen, source)


def import_transnas_bench(
    file: str | Path, space: str = "transnas-micro", *, name: str | None = None
) -> Benchmark:
    """The official TransNAS-Bench-101 release, ``transnas-bench_v10141024.pth``.

    Of each metric's curve over epochs the last value (``final``) and the best one (``best``) are kept.
    The file is a pickle; it is read by torch's restricted reader, which builds plain containers, numbers and
    arrays and refuses everything else before it could run.

    Args:
        file: the release.
        space: ``transnas-micro`` or ``transnas-macro``.
        name: of the benchmark; the space's by default.

    Raises:
        BenchmarkError: no such file, something in it that would execute code, or another structure.
    """
    kind = {"transnas-micro": "micro", "transnas-macro": "macro"}.get(space)
    if kind is None:
        raise BenchmarkError(*unknown("TransNAS space", space, ("transnas-micro", "transnas-macro")))
    release = _read_pickle(Path(file))
    try:
        measured: dict[str, dict[str, Any]] = release["data"][kind]
        table: dict[Column, dict[str, float]] = {}
        for arch, tasks in measured.items():
            for task, record in tasks.items():
                for info, value in record["model_info"].items():
                    table.setdefault(Column(task, str(info), "none", "none"), {})[arch] = float(value)
                for key, curve in record["metrics"].items():
                    for column, value in _summarise(task, key, [float(v) for v in curve]):
                        table.setdefault(column, {})[arch] = value
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BenchmarkError(
            "the structure of the release: data → space → architecture → task → metrics → one value an epoch",
            f"{type(error).__name__}: {error} in {file}",
            "use the official file transnas-bench_v10141024.pth",
        ) from error
    the_space = make_listed(space)
    archs = sorted(measured)
    columns = {c: np.array([by.get(a, np.nan) for a in archs]) for c, by in table.items()}
    metrics = {m: metric_for(m) for m in sorted({c.metric for c in columns})}
    return make_benchmark(
        name or space,
        the_space,
        the_space.indices(archs),
        columns,
        metrics,
        choose_rewards(columns, {}),
        TRANSNAS_SOURCE,
    )


def _summarise(task: str, key: str, curve: list[float]) -> list[tuple[Column, float]]:
    """Final and best value of one metric's curve."""
    if not curve:
        return []
    split, _, metric = key.partition("_")
    if split not in SPLITS:  # time_elapsed: seconds since the start, or seconds of each epoch
        total = curve[-1] if all(a <= b for a, b in pairwise(curve)) else sum(curve)
        return [(Column(task, key, "none", "none"), total)]
    best = max(curve) if metric_for(metric).direction == "max" else min(curve)
    return [(Column(task, metric, split, "final"), curve[-1]), (Column(task, metric, split, "best"), best)]


def _read_tidy(
    frame: pl.DataFrame, space: str, slots: Sequence[str]
) -> tuple[ListedSpace, NDArray[np.int64], dict[Column, NDArray[np.float64]]]:
    if slots:
        raise BenchmarkError(
            "--slots with a wide table, one column a slot",
            f"a tidy table with the columns {', '.join(TIDY)}",
            "leave --slots out, or give the table in the wide form",
        )
    the_space = listed(open_space(space))
    written = {name: texts(frame[name]) for name in TIDY[:5]}
    written["split"] = [_split(split, row) for row, split in enumerate(written["split"])]
    for name in ("arch", "task", "metric"):
        _complete(name, written[name])
    pairs = zip(written["metric"], written["split"], strict=True)
    meant = {pair: _measure(str(pair[0]), str(pair[1])) for pair in {*pairs}}
    both = [meant[pair] for pair in zip(written["metric"], written["split"], strict=True)]
    written["metric"], written["split"] = [m for m, _ in both], [s for _, s in both]
    keys = pl.DataFrame(written, schema=dict.fromkeys(TIDY[:5], pl.String)).fill_null("none")
    twice = keys.filter(keys.is_duplicated())
    if len(twice):
        raise BenchmarkError("each measurement once", f"{twice.row(0)} twice", "remove one of them")
    archs = keys["arch"].unique(maintain_order=True)
    position = pl.DataFrame({"arch": archs, "at": np.arange(len(archs))})
    tidy = keys.with_columns(value=pl.Series(numbers(frame["value"])))
    tidy = tidy.join(position, on="arch", how="left", maintain_order="left")
    columns: dict[Column, NDArray[np.float64]] = {}
    for key, group in tidy.group_by(["task", "metric", "split", "epoch"], maintain_order=True):
        values = np.full(len(archs), np.nan)
        values[group["at"].to_numpy()] = group["value"].to_numpy()
        columns[Column(*map(str, key))] = values
    return the_space, the_space.indices(archs), columns


def _split(text: str | None, row: int) -> str:
    split = "none" if text is None else split_of(text)
    if split is None:
        raise BenchmarkError(*unknown(f"split in row {row + 1}", str(text), SPLITS))
    return split


def _measure(metric: str, split: str) -> tuple[str, str]:
    """Metric and split of a tidy row; the metric's name may say the split, too."""
    plain, said = split_name(metric)
    if said is None:
        return metric, split
    if split not in (said, "none"):
        raise BenchmarkError(f"the split {said} for the metric {metric!r}", split, "correct one of them")
    return plain, said


def _complete(name: str, column: Sequence[str | None]) -> None:
    """Raises ``BenchmarkError`` if a column of architectures or names has a row without a value."""
    gaps = [row + 1 for row, text in enumerate(column) if text is None]
    if gaps:
        raise BenchmarkError(
            f"a value of {name!r} in every row",
            f"{len(gaps)} missing, the first in row {gaps[0]}",
            "fill them in",
        )


def _read_wide(
    frame: pl.DataFrame, space: str, slots: Sequence[str]
) -> tuple[ListedSpace, NDArray[np.int64], dict[Column, NDArray[np.float64]], set[Column]]:
    the_space = None if slots else listed(open_space(space))
    declared = (
        the_space if isinstance(the_space, ListedDeclaredSpace) and "arch" not in frame.columns else None
    )
    keys = list(slots) or (list(declared.space.declaration.slots) if declared else ["arch"])
    for key in keys:
        if key not in frame.columns:
            raise BenchmarkError(*unknown("column", key, frame.columns))
        if keys.count(key) > 1:
            raise BenchmarkError("each slot once", f"{key!r} twice", "name every slot column once")
    parts = {key: texts(frame[key]) for key in keys}
    for key, part in parts.items():
        if not declared:
            _complete(key, part)
    if slots:
        the_space = make_listed(space, {key: _choices(key, part) for key, part in parts.items()})
        architectures = [",".join(map(str, row)) for row in zip(*parts.values(), strict=True)]
    elif declared:
        choices = slots_of(declared) or {}
        parts = {slot: [as_chosen(text, choices[slot]) for text in part] for slot, part in parts.items()}
        rows = (dict(zip(parts, row, strict=True)) for row in zip(*parts.values(), strict=True))
        written = ({slot: choice for slot, choice in row.items() if choice is not None} for row in rows)
        architectures = [declared.format(declared.space.encode(row)) for row in written]
    else:
        architectures = [str(text) for text in parts["arch"]]
    assert the_space is not None
    columns: dict[Column, NDArray[np.float64]] = {}
    plain = set()
    for name in frame.columns:
        if name in keys:
            continue
        column, stated = read_address(name)
        if column in columns:
            raise BenchmarkError(f"one column for {column}", f"a second one, {name!r}", "rename it")
        columns[column] = numbers(frame[name])
        if not stated:
            plain.add(column)
    if not columns:
        raise BenchmarkError(
            "a column with a measurement beside those of the architecture",
            "none",
            "add one, such as valid_acc",
        )
    return the_space, the_space.indices(architectures), columns, plain


def _choices(slot: str, column: Sequence[str | None]) -> list[str]:
    """The texts that occur in a slot's column, in natural order."""
    choices = natural_order(str(text) for text in column)
    seen: dict[str, str] = {}
    for choice in choices:
        other = seen.setdefault(choice.strip(), choice)
        if other != choice:
            raise BenchmarkError(
                f"choices of slot {slot!r} that differ in more than blanks",
                f"{other!r} and {choice!r}",
                "write one",
            )
    wrong = next((choice for choice in choices if "," in choice), None)
    if wrong is not None:
        raise BenchmarkError(
            f"one choice a row in the slot {slot!r}",
            f"{wrong!r}, which has a comma, and {len(choices):,} different values in all",
            "split a list or tuple into columns of its own, one a slot",
        )
    return choices


def wide_address(name: str) -> Column:
    """The column that a wide table's column is: see ``read_address``."""
    return read_address(name)[0]


def read_address(name: str) -> tuple[Column, bool]:
    """``task/metric[/split[/epoch]]``, or ``metric`` or ``split_metric`` of the task ``main``.

    A metric's name may say its split in any of the usual ways (``metrics.split_name``).

    Returns:
        The address, and whether the name says the split.

    Raises:
        BenchmarkError: a name with slashes that is none of these.
    """
    parts = [part.strip() for part in name.split("/")]
    if 3 <= len(parts) <= 4:
        split = split_of(parts[2])
        if split is not None and all(parts):
            return Column(parts[0], parts[1], split, [*parts, "final"][3]), True
    elif len(parts) <= 2 and (all(parts) or len(parts) == 1):
        task = parts[0] if len(parts) == 2 else "main"
        metric, said = split_name(parts[-1])
        if said is not None:
            return Column(task, metric, said, "final"), True
        if metric in COSTS:
            return Column(task, metric, "none", "none"), True
        return Column(task, metric, "valid", "final"), False
    raise BenchmarkError(
        "a column called task/metric, task/metric/split or task/metric/split/epoch",
        repr(name),
        f"rename it; splits are {', '.join(SPLITS)}",
    )


def _read_pickle(path: Path) -> Any:
    import torch  # here, since only this importer needs it

    numbers: list[Any] = [np.dtype, np.float64(0).__reduce__()[0], type(np.dtype("f8")), type(np.dtype("f4"))]
    numbers += [type(np.dtype("i8")), np.float64, np.float32, np.int64]
    try:
        with warnings.catch_warnings(), torch.serialization.safe_globals(numbers):
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise BenchmarkError("the TransNAS release", f"{path}: {error.strerror}", "check the path") from error
    except (pickle.UnpicklingError, RuntimeError, EOFError, KeyError, ValueError, AttributeError) as error:
        raise BenchmarkError(
            "an intact file of plain dictionaries, lists and numbers",
            f"{path}: {reason(error)}",
            "download the official release again; nothing in the file was executed",
        ) from error
