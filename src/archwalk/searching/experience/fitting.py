"""Measurements of other tasks as sources over the architectures of a search.

In: a ``Target``, the search that is about to begin; ``Measured``, what one other task says of architectures
of its space. Out: ``Known``: sources, and a line that says how far they reach. Next: ``trials``, ``columns``
and ``past`` read measurements from files; ``snapshot`` keeps the sources.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from archwalk.errors import SearchError
from archwalk.searching.experience.source import LEAST, Source, make_source
from archwalk.searching.problem import Problem
from archwalk.spaces.base import PAD, Codes, SearchSpace
from archwalk.tasks.identity import Identity
from archwalk.tasks.metrics import Metric
from archwalk.tasks.registry import AnyBenchmark
from archwalk.tasks.table import Benchmark

Floats = NDArray[np.float64]
Directed = Callable[[str], Metric]  # a metric's name → the metric, refused where its direction is not known


@dataclass(frozen=True)
class Target:
    """The search that experience is for.

    Attributes:
        problem: its architectures.
        metrics: to improve, one a task; those of several tasks may be the same.
        identities: what its ledgers are for, one a task.
        benchmark: the table or predicting task that answers the evaluations, if one does.
        tasks: names of the tasks searched, as far as they have one.
        directed: what the user says of a metric's direction.
    """

    problem: Problem
    metrics: tuple[Metric, ...]
    identities: tuple[Identity, ...]
    benchmark: AnyBenchmark | None
    tasks: tuple[str, ...]
    directed: Directed

    @property
    def space(self) -> SearchSpace:
        """Of the problem."""
        return self.problem.space

    def check_direction(self, metric: Metric, where: str) -> Metric:
        """The metric. Raises ``SearchError`` if one of its name is searched in the other direction."""
        for mine in self.metrics:
            if mine.name == metric.name and mine.direction != metric.direction:
                goals = ["maximised" if m.direction == "max" else "minimised" for m in (mine, metric)]
                raise SearchError(
                    f"experience in which {metric.name!r} is to be {goals[0]}, as in this search",
                    f"{where}, in which it is to be {goals[1]}",
                    "correct --minimise or --maximise, or leave it out",
                )
        return metric

    def is_task(self, benchmark: AnyBenchmark, task: str) -> bool:
        """Whether a task of a benchmark is searched, under whatever protocol."""
        mine = self.benchmark
        if mine is None or task not in self.tasks:
            return False
        same = mine.name == benchmark.name and mine.space.describe() == benchmark.space.describe()
        return same or mine.checksum == benchmark.checksum

    def measured_alike(self, source: Source) -> bool:
        """Whether a source is a searched task of the table that answers, whatever its file calls it."""
        table = self.benchmark
        if not isinstance(table, Benchmark) or len(source) != len(table):
            return False
        ids = self.problem.locate(source.codes)
        return any(np.array_equal(table.reward(task)[ids], source.values) for task in self.tasks)


def searched_itself(got: str, remedy: str = "leave it out") -> SearchError:
    """What is raised where experience would be of the very task that is searched."""
    return SearchError("experience of other tasks", got, remedy)


@dataclass(frozen=True)
class Known:
    """What was named, as sources.

    Attributes:
        sources: at least one.
        said: how far they reach, in a line.
    """

    sources: tuple[Source, ...]
    said: str


@dataclass(frozen=True)
class Measured:
    """What one task says of architectures, repeated ones and failures included.

    Attributes:
        name: of the source that it becomes.
        codes: as the searched space writes them; a row of padding for what that space does not have, [n, S].
        values: larger is better; NaN where a trial failed, [n].
        column: see ``Source``.
    """

    name: str
    codes: Codes
    values: Floats
    column: str = ""


def fitted(name: str, measured: Sequence[Measured], problem: Problem, what: str = "tasks") -> Known:
    """Measurements as sources over the architectures that a search may choose from.

    Args:
        name: of what was named.
        measured: by task.
        problem: of the search.
        what: the measurements are of.

    Raises:
        SearchError: one of them has too few architectures left to say anything.
    """
    sources, reach, failures = [], [], 0
    for one in measured:
        good = np.isfinite(one.values)
        failures += int((~good).sum())
        all_of = len(np.unique(one.codes[good & (one.codes != PAD).any(1)], axis=0))
        all_of += int((good & (one.codes == PAD).all(1)).sum())
        there = good & (one.codes != PAD).any(1)
        if problem.listed:
            there[there] = problem.locate(one.codes[there]) >= 0
        source = make_source(one.name, one.codes[there], one.values[there], one.column)
        if len(source) < LEAST:
            got = f"{len(source)} of {all_of:,} with a result" if good.any() else "none with a result"
            raise SearchError(
                f"at least {LEAST} architectures of {one.name} that this search may choose from",
                f"{got}, {int((~good).sum()):,} failed",
                "leave it out, or name experience of this space",
            )
        sources.append(source)
        reach.append((len(source), all_of))
    counts = f"{reach[0][0]:,} of {reach[0][1]:,} architectures"
    if len(set(reach)) > 1:
        each = (
            f"{s.name.partition('/')[2] or s.name} {a:,} of {b:,}"
            for s, (a, b) in zip(sources, reach, strict=True)
        )
        counts = f"architectures: {', '.join(each)}"
    number = f"{len(sources)} {what}, " if len(sources) > 1 else ""
    said = f"{name}: {number}{counts}" + (f"; {failures:,} failed or missing left out" if failures else "")
    return Known(tuple(sources), said)
