"""``Benchmark``: the one object and the one file format for a table of measured architectures.

In: columns of numbers over the architectures of a space. Out: ``values`` and ``reward`` by task. The file is
Parquet, one row an architecture and one column a (task, metric, split, epoch), so that any tool opens it;
what the columns mean, and a checksum of it all, stands in its key-value metadata under ``archwalk``. A second
checksum, of the file's bytes, is compared before anything is parsed: a Parquet reader may abort the whole
process over a flipped bit.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from archwalk.errors import ArchwalkError, BenchmarkError, reason, unknown
from archwalk.files import write_atomically
from archwalk.spaces.base import ListedSpace, restrict_neighbours
from archwalk.spaces.registry import make_space
from archwalk.spaces.subset import MeasuredSubset
from archwalk.tasks.base import check_task
from archwalk.tasks.metrics import Column, Metric, declared_here, find_meant, speaks_of_cost, split_of
from archwalk.tasks.protocols import protocols_of

FORMAT = 1
SUFFIX = ".parquet"
LARGEST = 1e30  # of a measurement; what is larger stands for a failed training, and overflows elsewhere
_KEY = "archwalk"
_ARCH = "arch"
_SEAL_KEY = "archwalk-sha256"
# How the footer holds that key's value: a Thrift compact string field of 64 bytes.
_SEAL = re.compile(_SEAL_KEY.encode() + rb"\x18\x40([0-9a-f]{64})")
_UNSEALED = b"0" * 64


@dataclass(frozen=True)
class Benchmark:
    """Architectures × tasks × metrics × splits × epochs, measured.

    Attributes:
        name: how results refer to it.
        space: the search space.
        rows: indices into the space of the measured architectures, ascending, [architectures].
        columns: address → float64 values [architectures]; NaN is a missing value, never filled in.
        metrics: declaration of every metric that occurs.
        rewards: task → the column whose values agents are rewarded with.
        source: where the numbers come from, and how to cite them.
        protocol: name of the published protocol that ``rewards`` follow; empty: the file's own.
    """

    name: str
    space: ListedSpace
    rows: NDArray[np.int64]
    columns: Mapping[Column, NDArray[np.float64]]
    metrics: Mapping[str, Metric]
    rewards: Mapping[str, Column]
    source: str = ""
    notes: tuple[str, ...] = field(default=())
    protocol: str = ""

    @property
    def tasks(self) -> tuple[str, ...]:
        """Names of the tasks, sorted."""
        return tuple(sorted(self.rewards))

    @cached_property
    def protocols(self) -> dict[str, dict[str, Column]]:
        """The published protocols that the table can be used under: name → task → reward column."""
        return protocols_of(self.space.name, self.columns)

    def under(self, protocol: str) -> Benchmark:
        """The same table, rewarded as a published protocol does; its tasks are those that have its column.

        Raises:
            BenchmarkError: the table cannot be used under it.
        """
        if protocol not in self.protocols:
            if self.protocols:
                raise BenchmarkError(*unknown(f"protocol of {self.name!r}", protocol, self.protocols))
            raise BenchmarkError(
                f"a table with the columns of protocol {protocol!r}",
                f"{self.name!r}, over the space {self.space.name!r}, which no known protocol fits",
                "leave the protocol out: the file says which column is the reward",
            )
        return replace(self, rewards=self.protocols[protocol], protocol=protocol)

    @cached_property
    def architectures(self) -> tuple[str, ...]:
        """Strings of the measured architectures, in the order of every array here."""
        if len(self.rows) == len(self.space):
            return self.space.architectures
        return tuple(self.space.format(code) for code in self.space.codes[self.rows].tolist())

    @cached_property
    def neighbours(self) -> NDArray[np.int32]:
        """Indices into ``architectures`` one edit away, [architectures, K], -1 where there are fewer."""
        table = self.space.neighbour_table()
        return table if len(self.rows) == len(self.space) else restrict_neighbours(table, self.rows)

    @cached_property
    def choices(self) -> NDArray[np.int64]:
        """Each architecture and then its neighbours, [architectures, 1 + K]; all processes share it."""
        return np.column_stack([np.arange(len(self.rows)), self.neighbours])

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        return f"<Benchmark {self.name}: {len(self):,} of {self.space.name}, tasks {', '.join(self.tasks)}>"

    def reward_column(self, task: str) -> Column:
        """The column that rewards agents on a task. Raises ``BenchmarkError`` for an unknown task."""
        check_task(task, self.tasks)
        return self.rewards[task]

    @property
    def declared(self) -> dict[str, Metric]:
        """The metrics whose direction somebody has said, by name: rewards, those of ``METRICS``, and others
        unless the name speaks of a cost and nobody said that less of it is better."""
        certain = {column.metric for column in self.rewards.values()}
        certain |= {name for name, metric in self.metrics.items() if metric.direction == "min"}
        return {
            name: metric
            for name, metric in self.metrics.items()
            if name in certain or declared_here(name) or not speaks_of_cost(name)
        }

    def index(self, architecture: str) -> int:
        """Position of an architecture string. Raises ``ArchitectureError`` or ``BenchmarkError``."""
        wanted = self.space.index(architecture)
        at = int(np.searchsorted(self.rows, wanted))
        if at == len(self.rows) or self.rows[at] != wanted:
            raise BenchmarkError(
                f"an architecture that {self.name!r} measured", repr(architecture), "choose a measured one"
            )
        return at

    def column(
        self, task: str, split: str | None = None, metric: str | None = None, epoch: str | None = None
    ) -> Column:
        """The address that ``values`` reads: whatever is left out is the reward column's.

        Where the reward's epoch was not measured on the split (TransNAS-Bench-101 has test metrics at the
        best epoch only), the epoch falls back to ``best``, then to the last one there.

        Raises:
            BenchmarkError: no such task, metric, split or epoch.
        """
        reward = self.reward_column(task)
        of_task = [c for c in self.columns if c.task == task]
        split = reward.split if split is None else split_of(split) or split
        metric = metric or reward.metric
        metric = find_meant(metric, sorted({c.metric for c in of_task})) or metric
        if metric not in {c.metric for c in of_task}:
            raise BenchmarkError(*unknown("metric", metric, sorted({c.metric for c in of_task})))
        of_metric = [c for c in of_task if c.metric == metric]
        if split not in {c.split for c in of_metric}:
            raise BenchmarkError(*unknown("split", split, sorted({c.split for c in of_metric})))
        epochs = sorted({c.epoch for c in of_metric if c.split == split}, key=epoch_order)
        if epoch is None:
            epoch = next((e for e in (reward.epoch, "best") if e in epochs), epochs[-1])
        if epoch not in epochs:
            raise BenchmarkError(*unknown("epoch", epoch, epochs))
        return Column(task, metric, split, epoch)

    def values(
        self, task: str, split: str = "valid", metric: str | None = None, epoch: str | None = None
    ) -> NDArray[np.float64]:
        """A metric of every architecture as stored, [architectures], read-only; NaN where missing.

        Args:
            task: one of ``tasks``.
            split: ``train``, ``valid``, ``test`` or ``none``.
            metric: a metric of the task; the reward's by default.
            epoch: ``final``, ``best`` or a number; see ``column`` for the default.

        Raises:
            BenchmarkError: no such task, metric, split or epoch.
        """
        return self.columns[self.column(task, split, metric, epoch)]

    def reward(self, task: str) -> NDArray[np.float64]:
        """What agents are rewarded with before shaping, [architectures]: larger is better, percent as
        fraction.

        Raises:
            BenchmarkError: the column has missing values, which the message names, or one value alone.
        """
        column = self.reward_column(task)
        values = self.columns[column]
        gone = np.flatnonzero(np.isnan(values))
        if len(gone):
            named = ", ".join(self.architectures[i] for i in gone[:5])
            raise BenchmarkError(
                f"a reward for every architecture in {column}",
                f"{len(gone):,} missing, among them {named}",
                "leave them out of the table or name another reward column; nothing is filled in",
            )
        if len(values) > 1 and values.min() == values.max():
            raise BenchmarkError(
                f"a task whose architectures differ in their reward, {column}",
                f"{values[0]:g} for all {len(values):,}",
                "leave the task out, or name another reward when you import the table",
            )
        return values * self.metrics[column.metric].scale

    def evaluation_split(self, task: str) -> str:
        """Where agents are evaluated: ``test``, or the reward's own split, for the reason in ``untested``."""
        return self.reward_column(task).split if self.untested(task) else "test"

    def untested(self, task: str) -> str:
        """Why agents are not evaluated on test values of a task; empty where they are."""
        reward = self.reward_column(task)
        if not any(c[:2] == reward[:2] and c.split == "test" for c in self.columns):
            return f"there are no test values of {reward.metric}"
        values = self.values(task, "test")
        gaps = int(np.isnan(values).sum())
        return f"test values of {reward.metric} are missing for {gaps:,} of {len(values):,}" if gaps else ""

    @cached_property
    def missing(self) -> dict[Column, int]:
        """How many values each incomplete column lacks."""
        counts = {column: int(np.isnan(values).sum()) for column, values in self.columns.items()}
        return {column: n for column, n in counts.items() if n}

    @cached_property
    def checksum(self) -> str:
        """SHA-256 over the description, the architectures and every number: the benchmark's identity."""
        return self._digest(self._slot_order())

    def _slot_order(self) -> str:
        """The order of slots that is not that of their names, which the sorted description does not tell."""
        description = self.space.describe()
        slots = description.get("declaration", description).get("slots", {})
        return json.dumps([*slots]) if [*slots] != sorted(slots) else ""

    def _digest(self, slot_order: str) -> str:
        digest = hashlib.sha256(json.dumps(self._description(), sort_keys=True).encode())
        digest.update(slot_order.encode())
        digest.update(np.ascontiguousarray(self.rows, dtype="<i8").data)
        if isinstance(self.space, MeasuredSubset):  # rows of different tables mean different architectures
            digest.update(np.ascontiguousarray(self.space.codes).data)
        for column in sorted(self.columns):
            digest.update(str(column).encode())
            digest.update(np.ascontiguousarray(self.columns[column], dtype="<f8").data)
        return digest.hexdigest()

    def _description(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "name": self.name,
            "space": self.space.describe(),
            "metrics": [self.metrics[m].to_json() for m in sorted(self.metrics)],
            "rewards": {task: list(self.rewards[task]) for task in self.tasks},
            "source": self.source,
            "notes": list(self.notes),
        }

    def save(self, path: str | Path) -> Path:
        """Write the file, whole or not at all. Returns its path."""
        path = Path(path)
        frame = pl.DataFrame(
            {_ARCH: self.architectures} | {str(c): self.columns[c] for c in sorted(self.columns)}
        )
        header = json.dumps(self._description() | {"checksum": self.checksum})
        buffer = io.BytesIO()
        metadata = {_KEY: header, _SEAL_KEY: _UNSEALED.decode()}
        frame.write_parquet(buffer, compression="zstd", compression_level=19, metadata=metadata)
        write_atomically(path, seal(buffer.getvalue()))
        return path


def is_benchmark(content: bytes) -> bool:
    """Whether bytes are a benchmark file, intact or not: its keys stand in the footer."""
    return _SEAL_KEY.encode() in content or b"\x18\x08" + _KEY.encode() in content


def seal(content: bytes) -> bytes:
    """A benchmark file with the checksum of its bytes, that of the seal itself taken as zeros, put in."""
    match = _SEAL.search(content)
    if match is None:
        raise ValueError(f"no {_SEAL_KEY} in the file's metadata")
    start, end = match.span(1)
    blank = content[:start] + _UNSEALED + content[end:]
    return content[:start] + hashlib.sha256(blank).hexdigest().encode() + content[end:]


def epoch_order(epoch: str) -> tuple[int, float, str]:
    """Sorts epochs: none, numbers upwards, best, final."""
    if epoch.isdigit():
        return 1, float(epoch), epoch
    return {"none": 0, "best": 2, "final": 3}.get(epoch, 1), float("inf"), epoch


def make_benchmark(
    name: str,
    space: ListedSpace,
    rows: NDArray[np.int64],
    columns: Mapping[Column, NDArray[np.float64]],
    metrics: Mapping[str, Metric],
    rewards: Mapping[str, Column],
    source: str = "",
    notes: tuple[str, ...] = (),
) -> Benchmark:
    """Check and freeze a benchmark; every importer and the file reader end here.

    Raises:
        BenchmarkError: no tasks, no or repeated architectures, wrong lengths, values out of a metric's
            declared range, infinite values, or a reward column that does not exist.
    """
    rows = np.asarray(rows, dtype=np.int64)
    _expect(len(rows) > 0, "at least one architecture", "an empty table", "check the input")
    order = np.argsort(rows, kind="stable")
    rows = rows[order]
    twice = np.flatnonzero(np.diff(rows) == 0)
    if len(twice):
        again = space.format(space.codes[rows[twice[0]]].tolist())
        raise BenchmarkError("each architecture once", f"{again!r} twice", "remove the repeated rows")
    _expect(bool(rewards), "at least one task with a reward column", "none", "name a metric and a split")
    frozen: dict[Column, NDArray[np.float64]] = {}
    for column, values in columns.items():
        _expect("/" not in "".join(column), "names without a slash", str(column), "rename it")
        array = np.array(values, dtype=np.float64)[order]
        check_range(column, array, metrics[column.metric])
        array.flags.writeable = False
        frozen[column] = array
    for task, column in rewards.items():
        if column not in frozen or column.task != task:
            known = sorted(str(c) for c in frozen if c.task == task)
            raise BenchmarkError(*unknown("reward column", str(column), known))
    rows.flags.writeable = False
    return Benchmark(name, space, rows, frozen, dict(metrics), dict(rewards), source, notes)


def check_range(column: Column, values: NDArray[np.float64], metric: Metric) -> None:
    """Raises ``BenchmarkError`` for an infinite value or one out of the metric's range; NaN is none."""
    with np.errstate(invalid="ignore"):
        outside = (np.abs(values) > LARGEST) | (values < metric.low) | (values > metric.high)
    if outside.any():
        raise BenchmarkError(
            f"finite values of {metric.name} ({metric.unit or 'no unit'}) in [{metric.low}, {metric.high}], "
            f"at most {LARGEST:g} in size",
            f"{values[outside][0]} in column {column}",
            "check whether the column is mislabelled or in another unit; a failed training has no value",
        )


def _expect(condition: bool, expected: str, got: str, remedy: str) -> None:
    if not condition:
        raise BenchmarkError(expected, got, remedy)


def open_benchmark(path: str | Path) -> Benchmark:
    """Read a benchmark file. Nothing in it is executed.

    Raises:
        BenchmarkError: no such file, not the format, damaged, or a checksum that does not fit.
    """
    path = Path(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise BenchmarkError(
            "a benchmark file or the name of a benchmark",
            f"{str(path)!r}: {error.strerror}",
            "run 'archwalk data list', or make a file with 'archwalk data import'",
        ) from error
    if content[:4] != b"PAR1":
        raise _not_a_benchmark(path, "a file that is not Parquet")
    if not _SEAL.search(content):
        raise _not_a_benchmark(path, "a Parquet file of another kind, or a damaged one")
    if seal(content) != content:
        raise _damaged(path, "the checksum of its bytes does not fit")
    try:
        header = json.loads(pl.read_parquet_metadata(io.BytesIO(content))[_KEY])
        frame = pl.read_parquet(io.BytesIO(content))
    except (Exception, pl.exceptions.PanicException) as error:
        raise _damaged(path, reason(error)) from error
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        version = header.get("format") if isinstance(header, dict) else header
        raise BenchmarkError(
            f"a benchmark file of format {FORMAT}", f"format {version!r}", "update archwalk or import again"
        )
    try:
        space = _open_space(header["space"], frame[_ARCH])
        benchmark = make_benchmark(
            name=str(header["name"]),
            space=space,
            rows=_read_rows(space, frame[_ARCH]),
            columns={
                Column(*name.split("/")): frame[name].to_numpy() for name in frame.columns if name != _ARCH
            },
            metrics={m["name"]: Metric.from_json(m) for m in header["metrics"]},
            rewards={task: Column(*column) for task, column in header["rewards"].items()},
            source=str(header["source"]),
            notes=tuple(header["notes"]),
        )
    except ArchwalkError:
        raise
    except Exception as error:
        raise _damaged(path, f"{type(error).__name__}: {error}") from error
    if header.get("checksum") == benchmark._digest(""):  # files of 0.1, and what was made on them
        benchmark.__dict__["checksum"] = header["checksum"]
    if header.get("checksum") != benchmark.checksum:
        raise _damaged(path, f"checksum {benchmark.checksum[:12]}…, not {str(header.get('checksum'))[:12]}…")
    return benchmark


def _open_space(description: dict[str, Any], strings: pl.Series) -> ListedSpace:
    """The space; of one that cannot be listed the architectures that the table has."""
    space = make_space(**description)
    return space.listing() or MeasuredSubset(space, space.rows(strings.to_list()))


def _read_rows(space: ListedSpace, strings: pl.Series) -> NDArray[np.int64]:
    """Architecture strings to indices; a complete table in the space's order costs one comparison."""
    texts = strings.to_list()
    if len(texts) == len(space) and tuple(texts) == space.architectures:
        return np.arange(len(space), dtype=np.int64)
    return space.indices(texts)


def _not_a_benchmark(path: Path, got: str) -> BenchmarkError:
    return BenchmarkError(
        "an archwalk benchmark file",
        f"{got}: {path}",
        "make one with 'archwalk data import table' or 'archwalk data import transnas-bench'",
    )


def _damaged(path: Path, what: str) -> BenchmarkError:
    return BenchmarkError(
        "an intact benchmark file", f"{path}: {what}", "copy or import it again; the file was left as it is"
    )
