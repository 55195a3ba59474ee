"""``History``: what the evaluations of a problem said so far, and what is left.

In: a ``Problem``, evaluated ids, their rewards. Out: what is visited and what is free. Next: ``methods``
suggest from it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from archwalk.searching.listed import ListedProblem
from archwalk.searching.problem import Floats, Ints, Mask, Problem

KnownValues = Callable[[Ints | None], Floats]  # of ids, [n]; None: of all of a listed problem


@dataclass(frozen=True)
class Objectives:
    """Several values an evaluation.

    Attributes:
        values: larger is better, [n, d], the searched metric first; of a failed evaluation the worst so far.
        usable: which evaluations succeeded and keep to the limits, [n].
        known: of each objective, its values where they are known before any evaluation; else None.
    """

    values: Floats
    usable: Mask
    known: tuple[KnownValues | None, ...]


@dataclass(frozen=True)
class History:
    """Finished evaluations of a problem, in order.

    Attributes:
        problem: what they are of.
        indices: the evaluated ids, [n].
        rewards: larger is better, [n]; a failed evaluation has the worst reward so far, so that it is
            avoided.
        pending: ids that are being evaluated elsewhere.
        objectives: where several are improved; the rewards are then the objectives made one.
    """

    problem: Problem = field(repr=False)
    indices: Ints
    rewards: Floats
    pending: Ints
    objectives: Objectives | None = None

    def __len__(self) -> int:
        return len(self.indices)

    @cached_property
    def known(self) -> dict[int, float]:
        """Id → reward."""
        return dict(zip(self.indices.tolist(), self.rewards.tolist(), strict=True))

    @cached_property
    def touched(self) -> Ints:
        """Evaluated and pending ids, in this order."""
        return np.concatenate([self.indices, self.pending])

    def visited(self, ids: Ints) -> Mask:
        """Whose key is evaluated or pending, or what is barred, [n]."""
        if self._all is not None:
            return self._all[ids]
        seen = self._keys
        found = np.array([k in seen for k in self.problem.keys(ids).tolist()], dtype=np.bool_)
        return found if self.problem.barred is None else found | self.problem.barred(ids)

    @property
    def free(self) -> Ints:
        """Ids that are not visited, of a listed problem, ascending."""
        assert self._all is not None, "an open problem cannot be listed"
        return np.flatnonzero(~self._all)

    def exhausted(self) -> bool:
        """Whether nothing is left to evaluate: every architecture is visited."""
        if self._all is not None:
            return bool(self._all.all())
        size = self.problem.space.size
        if self.problem.barred is None and size is not None and len(self.touched) * 100 <= size:
            return False
        return draw(self.problem, self, 0, TRIES) is None

    def with_pending(self, ids: Sequence[int]) -> History:
        """The same with more under evaluation."""
        pending = np.concatenate([self.pending, np.array([*ids], dtype=np.int64)])
        return replace(self, pending=pending)

    def same(self, other: History) -> bool:
        """Whether the evaluations are the same ones with the same rewards."""
        return np.array_equal(self.indices, other.indices) and np.array_equal(self.rewards, other.rewards)

    def only(self, positions: Ints) -> History:
        """Some of the evaluations, in order; the others are forgotten, not merely unused."""
        several = self.objectives
        if several is not None:
            several = replace(several, values=several.values[positions], usable=several.usable[positions])
        return History(self.problem, self.indices[positions], self.rewards[positions], self.pending, several)

    @cached_property
    def _all(self) -> Mask | None:
        problem = self.problem
        if not isinstance(problem, ListedProblem):
            return None
        found = np.isin(problem.groups, problem.groups[self.touched])
        return found if problem.barred is None else found | problem.barred(np.arange(len(problem)))

    @cached_property
    def _keys(self) -> frozenset[int]:
        return frozenset(self.problem.keys(self.touched).tolist())


def make_history(
    problem: Problem, indices: Sequence[int], rewards: Sequence[float], pending: Sequence[int] = ()
) -> History:
    """Evaluations as arrays.

    Args:
        problem: what was searched.
        indices: evaluated ids, in order.
        rewards: larger is better; NaN where an evaluation failed.
        pending: ids being evaluated elsewhere.
    """
    values = worst_of_failed(bounded(np.array(rewards, dtype=np.float64)))
    at, under_way = (np.array([*i], dtype=np.int64) for i in (indices, pending))
    return History(problem, at, values, under_way)


def worst_of_failed(rewards: Floats) -> Floats:
    """The worst reward in the place of NaN, 0 where there is none, [n] → [n]."""
    failed = np.isnan(rewards)
    return np.where(failed, rewards[~failed].min() if (~failed).any() else 0.0, rewards)


LARGEST = 1e18  # of a reward that is a measurement; beyond it, it is a penalty


def bounded(rewards: Floats) -> Floats:
    """Rewards in which penalties such as the largest float lie as far beyond the others as these reach, so
    that their squares are finite and the others can be told apart, [n] → [n]. NaN stays."""
    beyond = np.abs(rewards) > LARGEST
    if not beyond.any():
        return rewards
    rest = rewards[~beyond & ~np.isnan(rewards)]
    if not len(rest):
        return np.asarray(rewards / np.nanmax(np.abs(rewards)))
    low, high = float(rest.min()), float(rest.max())
    reach = max(high - low, abs(high) * 1e-3, 1e-9)
    return np.where(beyond, np.where(rewards < 0, low - reach, high + reach), rewards)


LONGER = 25
TRIES, BATCH = 40, 16  # samples of an open space before its known parts are looked through


def draw(problem: Problem, history: History, seed: int, tries: int | None = None) -> int | None:
    """An unvisited architecture of an open problem, as the space samples; None if none is left.

    Where sampling finds none, the neighbours of what was visited are looked through, which finds the rest of
    a space in which every architecture can be reached. Where some are barred it is tried longer, so that a
    method finds one if ``History.exhausted`` did.
    """
    generator = np.random.default_rng([seed, len(history)])
    if tries is None:
        tries = TRIES if problem.barred is None else LONGER * TRIES
    for _ in range(tries):
        ids = problem.sample(BATCH, generator)
        free = ids[~history.visited(ids)]
        if len(free):
            return int(free[0])
    if not len(history.touched):
        return None
    seen, edge = set(history.touched.tolist()), np.unique(history.touched)
    while len(edge):  # beyond the visited, through other members of their groups
        around = np.unique(problem.neighbours(edge))
        around = np.array([i for i in around.tolist() if i >= 0 and i not in seen], dtype=np.int64)
        free = around[~history.visited(around)]
        if len(free):
            return int(generator.choice(free))
        seen.update(around.tolist())
        edge = around
    return None
