"""Boosted trees as plain arrays, evaluated for many architectures and trees at once.

In: trees whose nodes ask for the choice in one slot. Out: the mean of several boosted ensembles and their
spread. Next: ``fit`` grows them; ``task`` asks them.

The evaluation is QuickScorer (Lucchese et al., SIGIR 2015). A tree's leaves are numbered from left to right,
one bit each. A node whose condition does not hold rules out the leaves to its left, and the leaf reached is
the lowest bit that no node rules out. What the nodes of one slot rule out depends on its choice alone; so
there is a table of bits, a row for each choice of each slot and a column for each tree, and an architecture
is the conjunction of as many rows as it has slots.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from archwalk.spaces.base import Codes, SearchSpace
from archwalk.tasks.surrogates.file import Arrays
from archwalk.tasks.surrogates.models import Floats, Prediction

MOST_LEAVES = 64
_CELLS = 1 << 17  # architectures × trees at once: fits the cache


@dataclass(frozen=True)
class Trees:
    """Boosted ensembles (members), one after the other.

    Attributes:
        tree: of each node, ascending, [nodes].
        slot: whose choice a node asks for, [nodes].
        choice: what it compares with, [nodes]; -1 is absent.
        equal: the condition: 0 that the slot's choice is at most that, 1 that it is another one, [nodes].
        first: the first leaf to the left of a node, below it, [nodes].
        count: how many leaves are there, [nodes].
        leaves: the leaves' values from left to right, [trees, leaves].
        sizes: trees of each member, [members].
    """

    tree: NDArray[np.int32]
    slot: NDArray[np.int16]
    choice: NDArray[np.int16]
    equal: NDArray[np.uint8]
    first: NDArray[np.uint8]
    count: NDArray[np.uint8]
    leaves: NDArray[np.float64]
    sizes: NDArray[np.int32]


class BoostedTrees:
    """The mean over members of boosted trees; their spread, scaled, is the error's standard deviation.

    Args:
        space: of the architectures.
        trees: all members.
        level: added to every prediction.
        spread_scale: from the members' standard deviation to that of the error.
    """

    kind = "trees"

    def __init__(
        self, space: SearchSpace, trees: Trees, level: float = 0.0, spread_scale: float = 1.0
    ) -> None:
        self.trees, self.level, self.spread_scale = trees, level, spread_scale
        self._starts = np.cumsum([0, *(1 + size for size in space.slot_sizes)])[:-1]
        self._table = _compile(trees, space.slot_sizes, self._starts)
        self._slots = np.unique(trees.slot)
        self._members = np.cumsum([0, *trees.sizes])[:-1]

    def settings(self) -> dict[str, Any]:
        """Level and scale."""
        return {"level": self.level, "spread_scale": self.spread_scale}

    def arrays(self) -> Arrays:
        """The trees."""
        return dict(vars(self.trees))

    def predict(self, codes: Codes, output: int = 0) -> Prediction:
        """Of codes [n, slots]."""
        members = self.members(codes)
        spread = members.std(axis=1, ddof=1) * self.spread_scale
        return Prediction(members.mean(axis=1) + self.level, spread)

    def members(self, codes: Codes) -> Floats:
        """What each member says, without the level, [n, members]."""
        leaves = self.trees.leaves
        base = np.arange(len(leaves)) * leaves.shape[1]
        found = np.empty((len(codes), len(self._members)))
        rows = max(1, _CELLS // len(leaves))
        at = self._starts + codes + 1
        for start in range(0, len(codes), rows):
            here = at[start : start + rows]
            left = np.full((len(here), len(leaves)), ~np.uint64(0))
            for slot in self._slots:
                left &= self._table[here[:, slot]]
            lowest = left & (~left + np.uint64(1))
            leaf = base + np.bitwise_count(lowest - np.uint64(1))
            found[start : start + rows] = np.add.reduceat(leaves.ravel()[leaf], self._members, axis=1)
        return found


def _compile(trees: Trees, slot_sizes: Sequence[int], starts: NDArray[np.int64]) -> NDArray[np.uint64]:
    """The leaves that each choice of each slot leaves in each tree, [rows, trees]; absent comes first."""
    one = np.uint64(1)
    ruled_out = ((one << trees.count.astype(np.uint64)) - one) << trees.first.astype(np.uint64)
    table = np.full((sum(slot_sizes) + len(slot_sizes), len(trees.leaves)), ~np.uint64(0))
    for slot, (size, start) in enumerate(zip(slot_sizes, starts, strict=True)):
        nodes = np.flatnonzero(trees.slot == slot)
        choice, equal = trees.choice[nodes], trees.equal[nodes].astype(np.bool_)
        for value in range(-1, size):
            fails = nodes[np.where(equal, choice == value, choice < value)]
            np.bitwise_and.at(table[start + 1 + value], trees.tree[fails], ~ruled_out[fails])
    return table


def make_trees(space: SearchSpace, arrays: Arrays, **settings: Any) -> BoostedTrees:
    """Boosted trees from a file's arrays and settings. Raises ``ValueError`` if they do not fit together."""
    trees = Trees(**arrays)
    leaves, sizes = trees.leaves.shape, np.array(space.slot_sizes)
    columns = (trees.tree, trees.slot, trees.choice, trees.equal, trees.first, trees.count)
    fits = (
        len({column.shape for column in columns}) == 1
        and int(trees.sizes.sum()) == leaves[0]
        and bool((trees.sizes > 0).all())
        and leaves[1] <= MOST_LEAVES
        and bool(np.isfinite(trees.leaves).all())
    )
    if fits and len(trees.tree):
        fits = (
            0 <= trees.tree.min() <= trees.tree.max() < leaves[0]
            and 0 <= trees.slot.min() <= trees.slot.max() < len(sizes)
            and bool((trees.choice < sizes[trees.slot]).all())
            and bool((trees.first.astype(np.int64) + trees.count < leaves[1]).all())
            and bool((trees.count > 0).all())
        )
    if not fits:
        raise ValueError(f"trees that do not fit together or to a space of {len(sizes)} slots")
    return BoostedTrees(space, trees, **settings)
