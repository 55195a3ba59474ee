"""``SearchSpace``: what every space answers. Its kinds are ``slots``, ``cells`` and ``macro``.

In: nothing. Out: architectures as short integer codes and as strings, in one fixed order, with their
neighbours as one int table. Next: ``tokens`` turns architectures into network inputs.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from archwalk.errors import ArchitectureError

Code = tuple[int, ...]
PAD = -1  # fills the neighbour table where an architecture has fewer neighbours than the widest row


@dataclass(frozen=True)
class Graph:
    """An operation-on-node graph: node 0 is the input, the last node the output.

    Attributes:
        operations: an index into ``SearchSpace.vocabulary`` for each node, in topological order.
        edges: (from, to) pairs of nodes, from < to.
    """

    operations: tuple[int, ...]
    edges: tuple[tuple[int, int], ...]


class SearchSpace(ABC):
    """A finite set of architectures in a fixed order, with one elementary edit between neighbours.

    Attributes:
        name: what a benchmark file records; ``make_space`` turns it back into the space.
        vocabulary: names of the node operations of ``graph``; input and output come first.
        max_nodes: nodes of the largest graph, V (the paper's adjacency matrices are V × V).
        slot_sizes: number of choices of each slot of ``codes``.
    """

    name: str
    vocabulary: tuple[str, ...]
    max_nodes: int
    slot_sizes: tuple[int, ...]

    @property
    @abstractmethod
    def codes(self) -> NDArray[np.int8]:
        """Every architecture as slot values, [architectures, slots]; -1 marks an absent slot."""

    @abstractmethod
    def parse(self, text: str) -> Code:
        """The code of an architecture string. Raises ``ArchitectureError`` if it is not in the space."""

    @abstractmethod
    def format(self, code: Sequence[int]) -> str:
        """The string of a code; the inverse of ``parse``."""

    @abstractmethod
    def neighbours(self) -> NDArray[np.int32]:
        """Indices one elementary edit away, [architectures, most neighbours]; ``PAD`` fills short rows."""

    @abstractmethod
    def canonical(self, code: Sequence[int]) -> Hashable:
        """A key that two architectures share if and only if they compute the same function."""

    @abstractmethod
    def graph(self, code: Sequence[int]) -> Graph:
        """The operation-on-node graph, without nodes that no signal passes."""

    def live_code(self, code: Sequence[int]) -> Code:
        """The code with every slot that no signal passes at its first choice; the code itself by default."""
        return tuple(code)

    def describe(self) -> dict[str, Any]:
        """What ``make_space`` needs to build this space again, as plain JSON values."""
        return {"name": self.name}

    def __len__(self) -> int:
        return len(self.codes)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}: {len(self):,} architectures>"

    @cached_property
    def architectures(self) -> tuple[str, ...]:
        """Every architecture as a string, in order."""
        return tuple(self.format(code) for code in self.codes.tolist())

    @cached_property
    def _index(self) -> dict[str, int]:
        return {text: i for i, text in enumerate(self.architectures)}

    def index(self, text: str) -> int:
        """The position of an architecture in the order. Raises ``ArchitectureError``."""
        try:
            return self._index[text]
        except KeyError:
            return self._index[self.format(self.parse(text))]

    def indices(self, texts: Iterable[str]) -> NDArray[np.int64]:
        """Positions of many architectures, [texts]. Raises ``ArchitectureError`` at the first stranger."""
        return np.array([self.index(text) for text in texts], dtype=np.int64)

    def canonical_groups(self) -> NDArray[np.int64]:
        """A group number for each architecture, equal where the canonical keys are, [architectures]."""
        return self._groups

    @cached_property
    def _groups(self) -> NDArray[np.int64]:
        seen: dict[Hashable, int] = {}
        groups = [seen.setdefault(self.canonical(code), len(seen)) for code in self.codes.tolist()]
        array = np.array(groups, dtype=np.int64)
        array.flags.writeable = False
        return array

    def _stranger(self, text: str, form: str) -> ArchitectureError:
        return ArchitectureError(
            f"an architecture of the space {self.name!r}, written as {form}",
            repr(text),
            f"check the string; the first one of this space is {self.format(self.codes[0].tolist())!r}",
        )


def restrict_neighbours(table: NDArray[np.int32], rows: NDArray[np.int64]) -> NDArray[np.int32]:
    """The neighbour table among some architectures only, renumbered by their position in ``rows``.

    Args:
        table: [architectures, K] from ``SearchSpace.neighbours``.
        rows: [n] distinct indices that remain.

    Returns:
        [n, K'] with K' the most neighbours left, order kept, ``PAD`` at the end of short rows.
    """
    new_index = np.full(len(table) + 1, PAD, dtype=np.int32)
    new_index[rows] = np.arange(len(rows), dtype=np.int32)
    kept = new_index[table[rows]]  # PAD = -1 reads the last cell, which stays PAD
    order = np.argsort(kept == PAD, axis=1, kind="stable")
    kept = np.take_along_axis(kept, order, axis=1)
    width = int((kept != PAD).sum(1).max(initial=0))
    return np.ascontiguousarray(kept[:, :width])
