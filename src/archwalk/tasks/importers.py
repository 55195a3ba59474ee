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

from archwalk.errors import BenchmarkError, unknown
from archwalk.spaces.base import ListedSpace, listed
from archwalk.spaces.declared import ListedDeclaredSpace
from archwalk.spaces.registry import make_listed, open_space
from archwalk.tasks.metrics import METRICS, Column, Metric, metric_for
from archwalk.tasks.table import Benchmark, epoch_order, make_benchmark

SPLITS = ("train", "valid", "test", "none")
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
    source: str = "",
) -> Benchmark:
    """Any CSV or Parquet table of measured architectures.

    Tidy tables have the columns ``arch, task, metric, split, epoch, value``. Wide tables have one row an
    architecture, given by a column ``arch`` or by one column a slot (of a declared space by the slots' names,
    empty where a slot is absent), and one column a measurement, called
    ``task/metric/split/epoch``; the last two may be left out (``valid``, ``final``), and a name without
    slashes, such as ``acc``, ``valid_acc`` or ``test_acc``, belongs to the task ``main``.

    Args:
        file: CSV (ending .csv) or Parquet.
        space: name of the search space or a file that declares it; ``slots`` for a space of the table's own.
        slots: the columns that make an architecture, for the space ``slots``; their choices are the values
            that occur, in natural order.
        name: of the benchmark; the file's stem by default.
        rewards: task → ``metric/split/epoch`` of its reward column, where the default is not wanted.
        minimise: metrics that are better when smaller, beside those declared so.
        source: where the numbers come from.

    Raises:
        BenchmarkError, ArchitectureError, SettingsError: what is wrong with the table, and where.
    """
    path = Path(file)
    frame = read_frame(path)
    if set(TIDY) <= set(frame.columns):
        the_space, rows, columns = _read_tidy(frame, space, slots)
    else:
        the_space, rows, columns = _read_wide(frame, space, slots)
    names = sorted({c.metric for c in columns})
    strangers = set(minimise) - set(names)
    if strangers:
        raise BenchmarkError(*unknown("metric to minimise", min(strangers), names))
    metrics = {m: metric_for(m, "min" if m in minimise else "max") for m in names}
    chosen = choose_rewards(columns, metrics, rewards or {})
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
        choose_rewards(columns, metrics, {}),
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


def choose_rewards(
    columns: Mapping[Column, Any], metrics: Mapping[str, Metric], named: Mapping[str, str]
) -> dict[str, Column]:
    """A reward column for each task: the one named, else the preferred validation metric at its final epoch.

    Preferred is the first of ``METRICS`` that the task has on the validation split, or its only metric
    there; the epoch is ``final``, else ``best``, else the last one.

    Raises:
        BenchmarkError: a task whose reward is not obvious, or a named column that does not exist.
    """
    tasks = sorted({c.task for c in columns})
    for task in named:
        if task not in tasks:
            raise BenchmarkError(*unknown("task", task, tasks))
    rewards = {}
    for task in tasks:
        known = [c for c in columns if c.task == task]
        if task in named:
            address = (named[task].split("/") + ["valid", "final"][len(named[task].split("/")) - 1 :])[:3]
            rewards[task] = Column(task, *address)
            if rewards[task] not in columns:
                shown = sorted("/".join(c[1:]) for c in known)
                raise BenchmarkError(*unknown(f"reward column of {task}", "/".join(address), shown))
            continue
        on_valid = {c.metric for c in known if c.split == "valid"}
        preferred = [m for m in METRICS if m in on_valid] or sorted(on_valid)
        if not preferred or (preferred[0] not in METRICS and len(preferred) > 1):
            raise BenchmarkError(
                f"one obvious validation metric to reward on task {task!r}",
                f"{', '.join(sorted(on_valid)) or 'none'} on the split valid",
                f"name it: --reward {task}=metric/split/epoch",
            )
        epochs = [c.epoch for c in known if c.metric == preferred[0] and c.split == "valid"]
        epoch = max(epochs, key=lambda e: (e == "final", e == "best", epoch_order(e)))
        rewards[task] = Column(task, preferred[0], "valid", epoch)
    return rewards


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
    try:
        tidy = frame.select(
            *(pl.col(c).cast(pl.String).fill_null("none") for c in TIDY[:5]), pl.col("value").cast(pl.Float64)
        )
    except pl.exceptions.PolarsError as error:
        raise BenchmarkError(
            "numbers in the column 'value'", str(error).splitlines()[0], "correct them"
        ) from error
    wrong = set(tidy["split"].unique()) - set(SPLITS)
    if wrong:
        raise BenchmarkError(*unknown("split", min(wrong), SPLITS))
    twice = tidy.filter(tidy.select(TIDY[:5]).is_duplicated())
    if len(twice):
        raise BenchmarkError("each measurement once", f"{twice.row(0)[:5]} twice", "remove one of them")
    archs = tidy["arch"].unique(maintain_order=True)
    position = pl.DataFrame({"arch": archs, "at": np.arange(len(archs))})
    tidy = tidy.join(position, on="arch", how="left")
    columns: dict[Column, NDArray[np.float64]] = {}
    for key, group in tidy.group_by(["task", "metric", "split", "epoch"], maintain_order=True):
        values = np.full(len(archs), np.nan)
        values[group["at"].to_numpy()] = group["value"].fill_null(float("nan")).to_numpy()
        columns[Column(*map(str, key))] = values
    return the_space, the_space.indices(archs), columns


def _read_wide(
    frame: pl.DataFrame, space: str, slots: Sequence[str]
) -> tuple[ListedSpace, NDArray[np.int64], dict[Column, NDArray[np.float64]]]:
    the_space = None if slots else listed(open_space(space))
    declared = (
        the_space if isinstance(the_space, ListedDeclaredSpace) and "arch" not in frame.columns else None
    )
    keys = list(slots) or (list(declared.space.declaration.slots) if declared else ["arch"])
    for key in keys:
        if key not in frame.columns:
            raise BenchmarkError(*unknown("column", key, frame.columns))
    parts = {key: frame[key].cast(pl.String) for key in keys}
    for key, part in parts.items():
        if part.null_count() and not declared:
            raise BenchmarkError(
                f"a value of {key!r} in every row", f"{part.null_count()} missing", "fill them in"
            )
    if slots:
        choices = {key: sorted(frame[key].unique().to_list()) for key in keys}
        the_space = make_listed(space, {key: [str(c) for c in values] for key, values in choices.items()})
        texts = [",".join(row) for row in zip(*parts.values(), strict=True)]
    elif declared:
        written = ({k: v for k, v in row.items() if v is not None} for row in frame.select(keys).to_dicts())
        texts = [declared.format(declared.space.encode(row)) for row in written]
    else:
        texts = parts["arch"].to_list()
    assert the_space is not None
    columns: dict[Column, NDArray[np.float64]] = {}
    for name in frame.columns:
        if name in keys:
            continue
        column = wide_address(name)
        if column in columns:
            raise BenchmarkError(f"one column for {column}", f"a second one, {name!r}", "rename it")
        if not frame[name].dtype.is_numeric():
            raise BenchmarkError(
                f"numbers in the column {name!r}",
                str(frame[name].dtype),
                "drop the column, or name it in --slots if it is part of the architecture",
            )
        columns[column] = frame[name].cast(pl.Float64).fill_null(float("nan")).to_numpy()
    return the_space, the_space.indices(texts), columns


def wide_address(name: str) -> Column:
    """``task/metric[/split[/epoch]]``, or ``[split_]metric`` of the task ``main``."""
    if "/" in name:
        parts = name.split("/")
        parts += ["valid", "final"][len(parts) - 2 :]
        if len(parts) == 4 and parts[2] in SPLITS and all(parts):
            return Column(*parts)
        raise BenchmarkError(
            "a column called task/metric, task/metric/split or task/metric/split/epoch",
            repr(name),
            f"rename it; splits are {', '.join(SPLITS)}",
        )
    split, _, metric = name.partition("_")
    if split in SPLITS and metric:
        return Column("main", metric, split, "final")
    if name in ("params", "flops", "time_elapsed", "inference_ms"):
        return Column("main", name, "none", "none")
    return Column("main", name, "valid", "final")


def read_frame(path: Path, *, as_text: bool = False) -> pl.DataFrame:
    """A CSV or Parquet file; with ``as_text``, the cells of a CSV as they are written.

    Raises:
        BenchmarkError: it is neither, or not readable.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise BenchmarkError(
            "a CSV or Parquet table", f"{path}: {error.strerror}", "check the path"
        ) from error
    try:
        if content[:4] == b"PAR1":
            return pl.read_parquet(content)
        if content[:2] in (b"PK", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"):
            raise BenchmarkError(
                "a CSV or Parquet table",
                f"{path}, a pickle or an archive",
                "pickles of unknown origin are not read",
            )
        return pl.read_csv(content, infer_schema_length=None, infer_schema=not as_text)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, UnicodeDecodeError) as error:
        got = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise BenchmarkError("a readable CSV or Parquet table", f"{path}: {got}", "check the file") from error


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
            f"{path}: {str(error).splitlines()[0] if str(error) else type(error).__name__}",
            "download the official release again; nothing in the file was executed",
        ) from error
