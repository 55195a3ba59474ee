"""A table seen as an open space: nothing of it is listed to whoever walks there."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from archwalk.spaces.base import Codes, SearchSpace
from archwalk.tasks import Benchmark
from archwalk.tasks.metrics import Metric


class Unlisted(SearchSpace):
    """A listed space that answers nothing but what any space answers."""

    def __init__(self, benchmark: Benchmark) -> None:
        space = self.inner = benchmark.space
        self.name, self.vocabulary, self.max_nodes = space.name, space.vocabulary, space.max_nodes
        self.slot_sizes, self.size, self.max_neighbours = space.slot_sizes, len(space), space.max_neighbours
        for name in ("sample", "neighbours", "parse", "format", "canonical", "graph", "describe"):
            setattr(self, name, getattr(space, name))

    def sample(self, n: int, generator: np.random.Generator) -> Codes: ...  # type: ignore[empty-body]
    def neighbours(self, codes: Codes) -> NDArray[np.int16]: ...  # type: ignore[empty-body]
    def parse(self, text: str): ...  # type: ignore[no-untyped-def]
    def format(self, code): ...  # type: ignore[no-untyped-def]
    def canonical(self, code): ...  # type: ignore[no-untyped-def]
    def graph(self, code): ...  # type: ignore[no-untyped-def]


class AsOpen:
    """A table's tasks as ``Predicted``, and how often each architecture was asked for."""

    split, epoch, source = "valid", "final", ""

    def __init__(self, benchmark: Benchmark) -> None:
        self.table, self.name, self.checksum = benchmark, benchmark.name, benchmark.checksum
        self.space, self.tasks = Unlisted(benchmark), benchmark.tasks
        self.asked: list[int] = []

    @property
    def rewards(self) -> Mapping[str, Metric]:
        return {t: self.table.metrics[c.metric] for t, c in self.table.rewards.items()}

    def values(self, task: str, codes: Codes, metric: str | None = None) -> NDArray[np.float64]:
        at = self.table.space.positions(codes)
        self.asked += at.tolist()
        return self.table.values(task)[at]
