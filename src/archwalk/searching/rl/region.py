"""``Region``: the part of a space that walks in the model have reached, and values planned over it.

In: a ``Problem``, a reward function. Out: what a step from anywhere in the region leads to, rewards, and values.
Next: ``training`` walks in it, and learns from its values.

Values are V(x) = (1 - γ) r(x) + γ max over x and its neighbours of V, so that they are in units of the reward:
the value of staying at x for ever is r(x). What no walk has stood on is taken as a place to stay at.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from archwalk.searching.problem import Floats, Ints, Problem

BACKUPS = 50  # most sweeps of a plan; a step of a walk carries a value one sweep further


class Region:
    """Architectures reached, by row in the order in which they were reached.

    Args:
        problem: says where steps lead.
        reward: of ids, [n] → [n].
        discount: γ, below 1; the smaller, the more the end of a long walk must be worth.

    Attributes:
        ids: of the rows, [rows].
        rewards: of the rows, [rows].
        expanded: rows that walks stood on, [expanded].
        choices: what they offer: the row itself, then its neighbours, -1 where there are fewer, [expanded, 1 + K].
    """

    def __init__(self, problem: Problem, reward: Callable[[Ints], Floats], discount: float) -> None:
        self._problem, self._reward, self.discount = problem, reward, discount
        self._row: dict[int, int] = {}
        self._place: dict[int, int] = {}  # row → position in ``expanded``
        self.ids = np.empty(0, dtype=np.int64)
        self.rewards = np.empty(0)
        self.values = np.empty(0)
        self.expanded = np.empty(0, dtype=np.int64)
        self.choices = np.empty((0, 0), dtype=np.int64)

    def rows(self, ids: Ints) -> Ints:
        """Rows of ids, which are taken in where they are new, [n]; -1 stays -1."""
        new = [i for i in dict.fromkeys(ids.ravel().tolist()) if i >= 0 and i not in self._row]
        if new:
            self._row.update(zip(new, range(len(self._row), len(self._row) + len(new)), strict=True))
            fresh = np.array(new, dtype=np.int64)
            rewards = self._reward(fresh)
            self.ids = np.concatenate([self.ids, fresh])
            self.rewards = np.concatenate([self.rewards, rewards])
            self.values = np.concatenate([self.values, rewards])
        found = [self._row.get(i, -1) for i in ids.ravel().tolist()]
        return np.array(found, dtype=np.int64).reshape(ids.shape)

    def expand(self, rows: Ints) -> Ints:
        """What rows offer, taken in where it is new, [n] → [n, 1 + K]."""
        new = np.array([r for r in dict.fromkeys(rows.tolist()) if r not in self._place], dtype=np.int64)
        if len(new):
            around = self.rows(self._problem.neighbours(self.ids[new]))
            begin = len(self.expanded)
            self._place.update(zip(new.tolist(), range(begin, begin + len(new)), strict=True))
            self.expanded = np.concatenate([self.expanded, new])
            offered = np.concatenate([new[:, None], around], axis=1)
            self.choices = np.concatenate([self.choices, offered]) if begin else offered
        return self.choices[[self._place[r] for r in rows.tolist()]]

    def plan(self) -> None:
        """Value iteration (Bellman 1957) over the rows; values only rise, and stop at the exact ones."""
        for _ in range(BACKUPS):
            padded = np.append(self.values, -np.inf)  # -1 reads the last
            best = padded[self.choices].max(1)
            after = (1 - self.discount) * self.rewards[self.expanded] + self.discount * best
            if not (after > self.values[self.expanded] + 1e-9).any():
                return
            self.values[self.expanded] = np.maximum(after, self.values[self.expanded])
