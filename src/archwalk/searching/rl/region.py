"""``Region``: the part of a space that walks in the model have reached, and values planned over it.

In: a ``Problem``, a reward of ids. Out: what a step from anywhere in the region leads to, and the values of
the best walks. Next: the method evaluates what greedy walks come by.

The value of x is V(x) = (1 - γ) r(x) + γ max of V over x and its neighbours, in units of the reward: staying
at x for ever is worth r(x), and the end of a longer walk must be worth more. It is (1 - γ)(r + γ V) of the
decision process of ``archwalk.envs``. What no walk has stood on counts as a place to stay at.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from archwalk.searching.problem import Floats, Ints, Problem

BACKUPS = 50  # most sweeps of a plan; a sweep carries a value one step further
STEPS = 50  # of a walk at most, as in the decision process


class Region:
    """Architectures reached, by row in the order in which they were reached.

    Args:
        problem: says where steps lead.
        reward: of ids, [n] → [n]; asked once about each.
        discount: γ, at least 0, below 1.

    Attributes:
        ids: of the rows, [rows].
        values: of the rows, as of the last plan, [rows].
        choices: what the rows that walks stood on offer: the row itself, then its neighbours, -1 where there
            are fewer, [stood on, 1 + K].
    """

    def __init__(self, problem: Problem, reward: Callable[[Ints], Floats], discount: float) -> None:
        self._problem, self._reward, self._discount = problem, reward, discount
        self._row: dict[int, int] = {}  # of an id
        self._place: dict[int, int] = {}  # of a row in ``choices``
        self.ids = np.empty(0, dtype=np.int64)
        self._rewards, self.values = np.empty(0), np.empty(0)
        self.choices = np.empty((0, 0), dtype=np.int64)

    def rows(self, ids: Ints) -> Ints:
        """Rows of ids, which are taken in where they are new, [...]; -1 stays -1."""
        new = [i for i in dict.fromkeys(ids.ravel().tolist()) if i >= 0 and i not in self._row]
        if new:
            self._row.update((index, len(self.ids) + at) for at, index in enumerate(new))
            fresh = np.array(new, dtype=np.int64)
            rewards = self._reward(fresh)
            self.ids = np.concatenate([self.ids, fresh])
            self._rewards = np.concatenate([self._rewards, rewards])
            self.values = np.concatenate([self.values, rewards])
        found = [self._row.get(i, -1) for i in ids.ravel().tolist()]
        return np.array(found, dtype=np.int64).reshape(ids.shape)

    def expand(self, rows: Ints) -> Ints:
        """What rows offer, taken in where it is new, [n] → [n, 1 + K]."""
        new = [row for row in dict.fromkeys(rows.tolist()) if row not in self._place]
        if new:
            begin = len(self.choices)
            self._place.update((row, begin + at) for at, row in enumerate(new))
            here = np.array(new, dtype=np.int64)
            around = self.rows(self._problem.neighbours(self.ids[here]))
            offered = np.concatenate([here[:, None], around], axis=1)
            self.choices = np.concatenate([self.choices, offered]) if begin else offered
        return self.choices[[self._place[row] for row in rows.tolist()]]

    def plan(self) -> None:
        """Value iteration (Bellman 1957). Values only rise: a larger region holds more walks."""
        here, keep = self.choices[:, 0], 1 - self._discount
        for _ in range(BACKUPS):
            best = np.append(self.values, -np.inf)[self.choices].max(1)  # -1 reads the last
            after = np.maximum(keep * self._rewards[here] + self._discount * best, self.values[here])
            done = np.allclose(after, self.values[here], rtol=0, atol=1e-9)
            self.values[here] = after
            if done:
                return

    def walk(self, starts: Ints) -> Ints:
        """Walks towards the largest value around, each until it keeps its architecture.

        Args:
            starts: ids, [walks].

        Returns:
            Ids, [1 + steps, walks]; a walk that has ended stays where it is.
        """
        path = [self.rows(starts)]
        for _ in range(STEPS):
            offered = self.expand(path[-1])
            best = np.append(self.values, -np.inf)[offered].argmax(1)  # itself, where none is better
            path.append(offered[np.arange(len(starts)), best])
            if (path[-1] == path[-2]).all():
                break
        return self.ids[np.stack(path)]


def planned_walks(region: Region, starts: Ints) -> Ints:
    """Climb by the rewards, plan over what was reached, and walk by the plan.

    Args:
        region: new, so that its values are its rewards.
        starts: ids, [walks].

    Returns:
        The planned walks, ids, [1 + steps, walks].
    """
    region.walk(starts)
    region.plan()
    return region.walk(starts)
