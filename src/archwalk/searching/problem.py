"""``Problem``: what a search method may know before any look; ``History``: what the looks so far said.

In: a space's architectures, measured source tasks, trained agents. Out: arrays by architecture
index, the same for every method. Next: ``methods``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri
from scipy.stats import rankdata

from archwalk.searching.gp.encoder import Encoding, train_encoder
from archwalk.spaces.base import ListedSpace, restrict_neighbours

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Problem:
    """A search problem over N architectures of S slots.

    Attributes:
        architectures: their strings.
        codes: slot values, [N, S]; -1 where a slot is absent.
        views: three descriptions of the same architectures as slot values, each [N, S], from coarse to fine:
            the first member of the canonical group, the code without slots that no signal passes, the code.
        neighbours: indices one edit away, [N, K], -1 where there are fewer.
        keys: equal for architectures of which one look tells all, [N]. When a network is really trained, one
            look serves its canonical group. In a table every architecture was measured by itself, but those
            of a group which all source tasks measured alike are taken to be one network.
        sources: what the sources say about every architecture, one column of normal scores each, [N, F].
        proposal: the architecture that the sources recommend before any look; None without sources.
    """

    architectures: tuple[str, ...]
    codes: Ints
    views: tuple[Ints, Ints, Ints]
    neighbours: Ints
    keys: Ints
    sources: Floats
    proposal: int | None = None

    def __len__(self) -> int:
        return len(self.codes)

    def distances(self, view: int, rows: Ints) -> NDArray[np.uint8]:
        """Slots in which architectures differ from all others, by one view, [rows, N]; kept once computed."""
        kept = self._distances[view]
        for row in rows.tolist():
            if row not in kept:
                kept[row] = (self.views[view] != self.views[view][row]).sum(1).astype(np.uint8)
        return np.stack([kept[row] for row in rows.tolist()])

    @cached_property
    def _distances(self) -> tuple[dict[int, NDArray[np.uint8]], ...]:
        return tuple({} for _ in self.views)

    @cached_property
    def encoding(self) -> Encoding:
        """Vectors in which architectures that the sources find alike are near; trained when first asked for,
        which needs at least one source."""
        return train_encoder(self.views[:2], self.sources)

    @cached_property
    def one_hot(self) -> tuple[Floats, Floats, Floats]:
        """The views with one column a slot and choice, absent slots included, each [N, columns]."""
        first, second, third = (_one_hot(view) for view in self.views)
        return first, second, third


@dataclass(frozen=True)
class History:
    """Finished looks, in order.

    Attributes:
        indices: what was looked at, [n].
        rewards: larger is better, [n]; a failed look has the worst reward so far, so that it is avoided.
        taken: whose look is known or under way, [N].
    """

    indices: Ints
    rewards: Floats
    taken: NDArray[np.bool_] = field(repr=False)

    def __len__(self) -> int:
        return len(self.indices)

    @cached_property
    def known(self) -> dict[int, float]:
        """Index → reward."""
        return dict(zip(self.indices.tolist(), self.rewards.tolist(), strict=True))


def make_problem(
    space: ListedSpace,
    rows: Ints | None = None,
    *,
    measured_apart: bool,
    measured: Sequence[Floats] = (),
    sources: Sequence[Floats] = (),
    proposal: int | None = None,
) -> Problem:
    """The problem of searching a space, or some of its architectures.

    Args:
        space: the space.
        rows: indices of the architectures to choose from, ascending; all of them by default.
        measured_apart: whether architectures that compute the same function have looks of their own.
        measured: the source tasks' tables, [N] each; see ``Problem.keys``.
        sources: one column each, [N], of which only the order counts: their tables, their agents' opinions.
        proposal: see ``Problem``.
    """
    rows = np.arange(len(space)) if rows is None else rows
    codes = space.codes[rows].astype(np.int64)
    live = np.full_like(codes, -1)
    for out, code in zip(live, codes.tolist(), strict=True):
        present = space.live_code([v for v in code if v >= 0])
        out[: len(present)] = present
    groups = space.canonical_groups()
    _, first = np.unique(groups, return_index=True)
    canonical = space.codes[first[groups[rows]]].astype(np.int64)
    keys = groups[rows]
    if measured_apart:
        alike = np.stack([keys, *measured], 1) if measured else np.arange(len(rows))[:, None]
        keys = np.unique(alike, axis=0, return_inverse=True)[1].ravel()
    columns = np.stack([normal_scores(c) for c in sources], 1) if sources else np.empty((len(rows), 0))
    return Problem(
        architectures=tuple(space.architectures[i] for i in rows.tolist()),
        codes=codes,
        views=(canonical, live, codes),
        neighbours=restrict_neighbours(space.neighbour_table(), rows).astype(np.int64),
        keys=keys,
        sources=columns,
        proposal=proposal,
    )


def make_history(
    problem: Problem, indices: Sequence[int], rewards: Sequence[float], under_way: Sequence[int] = ()
) -> History:
    """Looks as arrays.

    Args:
        problem: what was searched.
        indices: looked at, in order.
        rewards: larger is better; NaN where a look failed.
        under_way: being looked at elsewhere.
    """
    values = np.array(rewards, dtype=np.float64)
    failed = np.isnan(values)
    values[failed] = values[~failed].min() if (~failed).any() else 0.0
    at = np.array([*indices], dtype=np.int64)
    touched = np.array([*indices, *under_way], dtype=np.int64)
    return History(at, values, np.isin(problem.keys, problem.keys[touched]))


def normal_scores(values: Floats) -> Floats:
    """Normal quantiles of the ranks, [n]; ties share theirs. Makes tasks comparable, whatever their metric
    (Salinas, Shen and Perrone 2020)."""
    return np.asarray(ndtri((rankdata(values) - 0.5) / len(values)))


def _one_hot(codes: Ints) -> Floats:
    choices = np.arange(codes.min(), codes.max() + 1)
    return (codes[:, :, None] == choices).reshape(len(codes), -1).astype(np.float64)
