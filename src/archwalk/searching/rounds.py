"""Methods whose model is fitted anew whenever a round of evaluations is complete.

In: a ``Problem``, a rule that fits a model to evaluations, one that suggests by it. Out: suggestions. Next:
the methods with predictors, in ``methods``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np

from archwalk.searching.experience.source import Source
from archwalk.searching.history import History
from archwalk.searching.methods.random import random
from archwalk.searching.problem import Floats, Ints, Problem

ROUND = 10  # evaluations
MOST = 512  # architectures of a source that a predictor is fitted to


class Rounds(ABC):
    """A model for every ``ROUND`` evaluations; so a suggestion depends on the evaluations alone.

    Without other tasks the first round is random.

    Args:
        problem: what is searched.
        seed: decides all randomness.
    """

    def __init__(self, problem: Problem, seed: int) -> None:
        self.problem, self.seed = problem, seed
        self.sources = tasks_of(problem)
        self._fitted: tuple[History, Any] | None = None

    @abstractmethod
    def fit(self, known: History, generator: np.random.Generator) -> Any:
        """A model of the evaluations of complete rounds, perhaps none, and of ``self.sources``."""

    @abstractmethod
    def propose(self, model: Any, history: History, generator: np.random.Generator) -> int:
        """One architecture that is not visited."""

    def update(self, evaluations: History) -> None:
        """Fit where a round is complete."""
        self._history = evaluations
        known = evaluations.only(np.arange(len(evaluations) // ROUND * ROUND))
        if not len(known) and not self.sources:
            return
        if self._fitted is None or not self._fitted[0].same(known):
            model = self.fit(known, np.random.default_rng([self.seed, len(known), 0x4D]))
            self._fitted = known, model

    def suggest(self, n: int) -> Sequence[int]:
        """One after the other, each pending while the next is chosen."""
        history, found = self._history, list[int]()
        while len(found) < n and not history.exhausted():
            if self._fitted is None:
                found.append(random(self.problem, history, self.seed))
            else:
                generator = np.random.default_rng([self.seed, len(history), len(found), 0x4E])
                found.append(self.propose(self._fitted[1], history, generator))
            history = history.with_pending(found[-1:])
        return found


def tasks_of(problem: Problem) -> tuple[Source, ...]:
    """What is known of other tasks; columns without a split are no tasks."""
    return tuple(source for source in problem.experience if not source.column)


def sample_of(source: Source, problem: Problem, generator: np.random.Generator) -> tuple[Ints, Floats]:
    """Ids and values of at most ``MOST`` architectures that a source knows of the problem, [n] each."""
    places = problem.locate(source.codes)
    there = np.flatnonzero(places >= 0)
    if len(there) > MOST:
        there = np.sort(generator.permutation(there)[:MOST])
    return places[there], source.values[there]


def unit(values: Floats) -> Floats:
    """Values by their range, between 0 and 1, [n]; 0.5 where all are alike."""
    span = values.max() - values.min()
    return (values - values.min()) / span if span > 0 else np.full(len(values), 0.5)


def pool_of(problem: Problem, history: History, size: int, generator: np.random.Generator) -> Ints:
    """Unvisited architectures to choose from, each once: at most ``size`` at random, and the unvisited
    neighbours of the best five evaluated."""
    drawn = problem.sample(size, generator)
    if problem.listed and len(problem) <= size:
        drawn = np.arange(len(problem))
    best = history.indices[np.argsort(-history.rewards, kind="stable")[:5]]
    around = problem.neighbours(best).ravel() if len(best) else best
    ids = np.unique(np.concatenate([drawn, around[around >= 0]]))
    return ids[~history.visited(ids)]
