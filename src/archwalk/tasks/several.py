"""``Tables``: several tables as what one run is trained on.

In: names or files with commas between them. Out: the tables, and their tasks as
``TABLE:TASK``. Next: ``archwalk.envs.multitask`` makes their tasks one process, ``archwalk.training`` keeps
what belongs to which.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from archwalk.errors import BenchmarkError
from archwalk.spaces.matching import identical
from archwalk.tasks.registry import AnyBenchmark, benchmark_names, load_benchmark, load_table
from archwalk.tasks.table import Benchmark

SEVERAL = "several spaces"  # the name of what describes them together


class Place(NamedTuple):
    """A task where it is: a table, and the name that the task has there."""

    table: Benchmark
    task: str


@dataclass(frozen=True)
class Tables:
    """At least two tables with different names.

    Attributes:
        tables: in the order in which they were named.
    """

    tables: tuple[Benchmark, ...]

    def __post_init__(self) -> None:
        names = [table.name for table in self.tables]
        if len(self.tables) < 2 or len(set(names)) < len(names):
            raise BenchmarkError(
                "several tables with different names, which their tasks are told apart by",
                ", ".join(names) or "none",
                "name each once; 'archwalk data import table' gives a table another name",
            )

    @property
    def name(self) -> str:
        """Theirs, with commas between them."""
        return ",".join(table.name for table in self.tables)

    @property
    def checksum(self) -> str:
        """Theirs, likewise."""
        return ",".join(table.checksum for table in self.tables)

    @cached_property
    def tasks(self) -> tuple[str, ...]:
        """Of all of them, ``TABLE:TASK``."""
        return tuple(f"{table.name}:{task}" for table in self.tables for task in table.tasks)

    def describe_space(self) -> dict[str, Any]:
        """The description of their space; of all spaces where they have several."""
        each = [table.space.describe() for table in self.tables]
        if all(identical(one, each[0]) for one in each):
            return each[0]
        return {"name": SEVERAL, "spaces": each}

    def place(self, task: str) -> Place:
        """Where a task is. Raises ``BenchmarkError`` if it is none of theirs."""
        for table in self.tables:
            for own in table.tasks:
                if task == f"{table.name}:{own}":
                    return Place(table, own)
        names = ", ".join(self.tasks)
        raise BenchmarkError(f"a task among {names}", repr(task), "name it as TABLE:TASK")


AnyTasks = AnyBenchmark | Tables


def places_of(benchmark: Benchmark | Tables, tasks: Sequence[str]) -> tuple[Place, ...]:
    """Where each task is."""
    if isinstance(benchmark, Tables):
        return tuple(benchmark.place(task) for task in tasks)
    return tuple(Place(benchmark, task) for task in tasks)


def split_benchmarks(given: str | Path) -> tuple[str, ...]:
    """``a.parquet,b.parquet@PROTOCOL`` as the names or files in it; a file whose name has a comma is one."""
    text = str(given)
    if "," not in text or text in benchmark_names() or Path(text.rpartition("@")[0] or text).exists():
        return (text,)
    return tuple(part.strip() for part in text.split(","))


def load_tasks(given: str | Path | AnyTasks) -> AnyTasks:
    """``load_benchmark``, or several tables at once.

    Raises:
        BenchmarkError: one that cannot be opened, that is no table among several, or two of the same name.
    """
    if isinstance(given, Tables):
        return given
    if isinstance(given, str | Path):
        names = split_benchmarks(given)
        return load_benchmark(given) if len(names) == 1 else Tables(tuple(load_table(n) for n in names))
    return load_benchmark(given)


def one_of(given: str | Path | AnyBenchmark | Tables, table: Benchmark) -> str | AnyBenchmark:
    """What names one of several tables that were named together; the table itself if they were given."""
    if isinstance(given, str | Path):
        return next(one for one in split_benchmarks(given) if load_table(one).name == table.name)
    return table
