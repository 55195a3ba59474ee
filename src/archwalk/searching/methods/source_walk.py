"""The mean-source-rank walk: what sources alone are worth, without any learning from the target."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from archwalk.analysis.ranks import ranks
from archwalk.searching.experience.source import Source
from archwalk.searching.history import History
from archwalk.searching.methods.random import random
from archwalk.searching.optimizer import make_method
from archwalk.searching.problem import Ints, Problem


def source_order(problem: Problem, sources: Sequence[Source]) -> Ints:
    """Ids that any source knows, the best mean rank first, ties by id.

    A rank counts as a quantile of its source, (rank - 1/2) / n with ties sharing their mean rank, so that
    sources of different sizes can be averaged; a source has no say on what it does not know.
    """
    total: dict[int, list[float]] = {}
    for source in sources:
        places = problem.locate(source.codes)
        known = places >= 0
        if not known.any():
            continue
        quantiles = (ranks(-source.values[known]) - 0.5) / known.sum()
        for place, quantile in zip(places[known].tolist(), quantiles.tolist(), strict=True):
            total.setdefault(place, []).append(quantile)
    ids = np.array(sorted(total), dtype=np.int64)
    means = np.array([round(sum(total[i]) / len(total[i]), 12) for i in ids.tolist()])
    return ids[np.argsort(means, kind="stable")]


class SourceWalk:
    """Evaluate in the order of the mean rank over the sources, then what none of them knows, at random."""

    def __init__(self, problem: Problem, seed: int) -> None:
        self._problem, self._seed = problem, seed
        self._order = source_order(problem, problem.experience)

    def update(self, evaluations: History) -> None:
        """What is visited; what it was worth does not matter."""
        self._history = evaluations

    def suggest(self, n: int) -> Sequence[int]:
        """The next ones in the order."""
        history = self._history
        found: list[int] = []
        while len(found) < n and not history.exhausted():
            free = ~history.visited(self._order)
            index = (
                int(self._order[np.argmax(free)])
                if free.any()
                else random(self._problem, history, self._seed)
            )
            found.append(index)
            history = history.with_pending([index])
        return found


METHOD = make_method(
    "source-walk", SourceWalk, source="this project; docs/search.md", needs=("sources",), knows_sources=True
)
