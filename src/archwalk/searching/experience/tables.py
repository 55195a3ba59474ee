"""Sources of a comparison: what tables of other tasks say, wholly or as far as a search would have seen.

In: a benchmark and names of tasks, its own or ``FILE:TASK`` of another one. Out: ``KnownTask``, the part of
such a table that is about the benchmark's architectures, and ``Source``s made of it. Next: ``comparison``
puts them into problems.

Architectures of another table are found by the names of slots and choices; a position in one table says
nothing about another.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from archwalk.errors import SearchError, unknown
from archwalk.searching.experience.source import LEAST, Source
from archwalk.searching.incontext.box import is_agent, open_agent
from archwalk.searching.incontext.opinion import expected
from archwalk.searching.loop import search
from archwalk.searching.open import make_problem
from archwalk.searching.problem import Floats, Ints
from archwalk.searching.registry import find_method
from archwalk.seeding import make_generator
from archwalk.spaces.base import ListedSpace
from archwalk.spaces.correspondence import carry
from archwalk.tasks.ledger import Ledger
from archwalk.tasks.metrics import Metric, metric_for
from archwalk.tasks.registry import load_table
from archwalk.tasks.table import Benchmark

SAMPLES: tuple[str, ...] = ("search", "random")
if TYPE_CHECKING:
    SampleName = Literal["search", "random"]
else:
    SampleName = str  # a comparison refuses a wrong one with a remedy
REST = "rest"
SEARCHED_BY = "gp"  # the method whose history a source of few evaluations is
_VALUE = Metric("value", "max", "")


@dataclass(frozen=True)
class KnownTask:
    """The table of a source task, as far as it is about the target's architectures.

    Attributes:
        name: as the user named it.
        file: the name as a file's.
        rows: positions in the target's table of what the source measured, ascending, [n].
        values: the source's rewards there, larger is better, [n].
        table: name and checksum of the source's table; None: the target's own.
        of: architectures of the source's table; more than n where it overlaps in part.
        column: see ``Source``.
    """

    name: str
    file: str
    rows: Ints
    values: Floats
    table: tuple[str, str] | None
    of: int
    column: str = ""


def names_for(target: str, benchmark: Benchmark, sources: Sequence[str], alone: bool) -> tuple[str, ...]:
    """The sources of one target.

    Args:
        target: a task.
        benchmark: its table.
        sources: tasks, ``FILE:TASK``, or ``rest`` for all other tasks of the benchmark.
        alone: whether it is the only target. A target among several is left out of its own sources.

    Raises:
        SearchError: a source twice, or the only target among its sources.
    """
    found: list[str] = []
    for name in sources:
        found += [task for task in benchmark.tasks if task != target] if name == REST else [name]
    if len(set(found)) < len(found):
        raise SearchError("each source once", ", ".join(sources), "name it once in --sources")
    if target in found:
        if alone:
            raise SearchError("sources other than the target", target, "leave it out of --sources")
        found.remove(target)
    return tuple(found)


def known_task(benchmark: Benchmark, target: str, name: str, opened: Mapping[str, Benchmark]) -> KnownTask:
    """Look a source up.

    Args:
        benchmark: the target's table.
        target: the task searched.
        name: a task of the benchmark, ``FILE:TASK``, or an in-context agent (``box:NAME``, or its file); in
            the place of a task ``TASK/METRIC``, a column without a split, as ``columns`` reads it.
        opened: other tables by file, as ``open_tables`` gives them.

    Raises:
        ArchwalkError: no such task, missing rewards, another space, no common architectures, or the target
            itself from another file.
    """
    if is_agent(name):
        return _opinion(benchmark, target, name)
    where, _, task = name.rpartition(":")
    if name in benchmark.tasks or not where:
        values, column = _values_of(benchmark, name)
        known = np.flatnonzero(np.isfinite(values))
        file = name.replace("/", ".")
        return KnownTask(name, file, known, values[known], None, len(benchmark), column)
    table = opened[where]
    rewards, column = _values_of(table, task)
    if table.name == benchmark.name and task == target:
        raise SearchError("sources other than the target", name, "leave it out of --sources")
    rows = _rows_of(table, benchmark)
    common = np.flatnonzero((rows >= 0) & np.isfinite(rewards))
    common = common[np.argsort(rows[common], kind="stable")]
    if len(common) < LEAST:
        raise SearchError(
            f"a source that knows architectures of {benchmark.name!r}",
            f"{name}, which shares {len(common)} of its {len(table):,} with it",
            "name a task over the same architectures",
        )
    if np.array_equal(rows[common], np.arange(len(benchmark))) and np.array_equal(
        rewards[common], benchmark.reward(target)
    ):
        raise SearchError("sources other than the target", f"{name}, with the same rewards", "leave it out")
    file = f"{table.name}.{task}-{table.checksum[:8]}".replace("/", "_")
    from_table = table.name, table.checksum
    return KnownTask(name, file, rows[common], rewards[common], from_table, len(table), column)


def _values_of(table: Benchmark, name: str) -> tuple[Floats, str]:
    """The rewards of a task, or a column ``TASK/METRIC`` without a split and its metric, larger is better as
    far as that is known, NaN where missing, [len(table)]. Raises ``ArchwalkError`` for neither."""
    if name in table.tasks or "/" not in name:
        return table.reward(name), ""
    columns = {f"{c.task}/{c.metric}": c for c in table.columns if c.split == "none"}
    if name not in columns:
        raise SearchError(*unknown(f"column of {table.name} without a split", name, columns))
    column = columns[name]
    values = np.asarray(table.columns[column], dtype=np.float64)
    return values * metric_for(column.metric).scale, column.metric


def _opinion(benchmark: Benchmark, target: str, name: str) -> KnownTask:
    """What an in-context agent expects of the benchmark's architectures."""
    agent = open_agent(name)
    agent.check_reads(benchmark.space)
    if (benchmark.checksum, target) in agent.learned:
        raise SearchError("sources other than the target", f"{name}, trained on it", "leave it out")
    values = expected(agent, benchmark.space, benchmark.space.codes[benchmark.rows].astype(np.int16))
    rows = np.arange(len(benchmark))
    return KnownTask(name, agent.card.name, rows, values, (agent.card.name, agent.digest), len(benchmark))


def open_tables(benchmark: Benchmark, sources: Sequence[str]) -> dict[str, Benchmark]:
    """The tables that ``FILE:TASK`` sources name, by file. Raises ``BenchmarkError``."""
    named = [name for name in sources if name not in benchmark.tasks and not is_agent(name)]
    files = {name.rpartition(":")[0] for name in named}
    return {file: load_table(file) for file in sorted(files) if file}


def _rows_of(table: Benchmark, benchmark: Benchmark) -> Ints:
    """Where each architecture of one table stands in another, [len(table)]; -1 for strangers."""
    codes = carry(table.space.codes[table.rows].astype(np.int16), table.space, benchmark.space)
    ours = benchmark.space.codes[benchmark.rows].astype(np.int16)
    place = {code.tobytes(): i for i, code in enumerate(ours)}
    return np.array([place.get(code.tobytes(), -1) for code in codes], dtype=np.int64)


def sample_seed(known: KnownTask, seed: int) -> int:
    """The seed of an earlier search on a source: another one for each, and none that a search here has."""
    return make_generator(seed, f"source {known.file}").initial_seed()


def searched(known: KnownTask, benchmark: Benchmark, n: int, seed: int) -> Ints:
    """What an earlier search on a source has evaluated, in order: positions in ``known``, [n].

    Args:
        known: the source.
        benchmark: the target's table.
        n: evaluations.
        seed: of the target's search, from which that of the earlier one follows.
    """
    problem = make_problem(benchmark.space, benchmark.rows[known.rows], measured_apart=True)
    texts = [benchmark.architectures[row] for row in known.rows.tolist()]
    place = {text: i for i, text in enumerate(texts)}
    ledger = Ledger(lambda text: {_VALUE.name: float(known.values[place[text]])}, (_VALUE.name,))
    evaluations = search(
        problem, ledger, find_method(SEARCHED_BY), _VALUE, budget=n, seed=sample_seed(known, seed)
    )
    ledger.close()
    return np.array([place[e.architecture] for e in evaluations], dtype=np.int64)


def drawn(known: KnownTask, n: int, seed: int) -> Ints:
    """n random positions in ``known``, each once, [n]."""
    generator = np.random.default_rng(sample_seed(known, seed))
    return generator.permutation(len(known.rows))[:n].astype(np.int64)


def source_of(known: KnownTask, space: ListedSpace, rows: Ints, seen: Ints | None = None) -> Source:
    """A source of all that a table says, or of a part.

    Args:
        known: the table.
        space: of the target.
        rows: the target's architectures in its space.
        seen: positions in ``known``; all by default.
    """
    seen = np.arange(len(known.rows)) if seen is None else seen
    codes = space.codes[rows[known.rows[seen]]].astype(np.int16)
    return Source(known.name, codes, known.values[seen], known.column)
