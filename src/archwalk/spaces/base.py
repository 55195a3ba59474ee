"""``SearchSpace``: what every space answers, of any size; ``ListedSpace``: what one adds that can be listed.

In: nothing. Out: architectures as rows of small integers (codes) and as strings, their neighbours, their
graphs. Next: ``tokens`` turns architectures into network inputs; ``registry`` finds spaces by name.

A batch of architectures is an array of codes, [n, slots]: the choice in each slot, -1 where a slot is absent.
A row of -1 only is padding and no architecture.
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
Codes = NDArray[np.int16]
PAD = -1  # fills neighbour tables where an architecture has fewer neighbours than the widest row


@dataclass(frozen=True)
class Graph:
    """An operation-on-node graph: node 0 is the input, the last node the output.

    Attributes:
        operations: an index into ``SearchSpace.vocabulary`` for each node, in topological order.
        edges: (from, to) pairs of nodes, from < to.
    """

    operations: tuple[int, ...]
    edges: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Graphs:
    """Many graphs as arrays, the nodes of each first.

    Attributes:
        nodes: number of nodes, [n].
        operations: an index into ``SearchSpace.vocabulary``, [n, V]; -1 behind the last node. int32 where the
            vocabulary is too large for int16.
        adjacency: 1 where an edge leads from row to column, [n, V, V].
    """

    nodes: NDArray[np.int64]
    operations: NDArray[np.int16] | NDArray[np.int32]
    adjacency: NDArray[np.uint8]


class SearchSpace(ABC):
    """Architectures, with one elementary edit between neighbours. It need not be possible to list them.

    Attributes:
        name: what files record; with ``describe`` it leads back to the space.
        vocabulary: names of the node operations of ``graph``; input and output come first.
        max_nodes: nodes of the largest graph, V (the paper's adjacency matrices are V × V).
        slot_sizes: number of choices of each slot.
        size: number of architectures, which may exceed 2^63; None if it is not known.
        max_neighbours: most neighbours of any architecture, K.
    """

    name: str
    vocabulary: tuple[str, ...]
    max_nodes: int
    slot_sizes: tuple[int, ...]
    size: int | None
    max_neighbours: int

    @abstractmethod
    def sample(self, n: int, generator: np.random.Generator) -> Codes:
        """Architectures drawn independently, [n, slots]; uniformly, unless the space says how else."""

    @abstractmethod
    def neighbours(self, codes: Codes) -> NDArray[np.int16]:
        """All architectures one elementary edit away, in a fixed order, [n, K, slots].

        Each neighbour stands once, none is the architecture itself, and neighbourhood is mutual; rows of
        padding stand where there are fewer than K.
        """

    @abstractmethod
    def parse(self, text: str) -> Code:
        """The code of an architecture string. Raises ``ArchitectureError`` if it is not in the space."""

    @abstractmethod
    def format(self, code: Sequence[int]) -> str:
        """The string of a code; the inverse of ``parse``."""

    @abstractmethod
    def canonical(self, code: Sequence[int]) -> Hashable:
        """A key that two architectures share if and only if they compute the same function."""

    @abstractmethod
    def graph(self, code: Sequence[int]) -> Graph:
        """The operation-on-node graph, without nodes that no signal passes."""

    def graphs(self, codes: Codes) -> Graphs:
        """``graph`` of many. A space that is walked in with graph tokens should have a faster way.

        Args:
            codes: [n, slots].
        """
        n, v = len(codes), self.max_nodes
        nodes = np.zeros(n, dtype=np.int64)
        wide = len(self.vocabulary) > np.iinfo(np.int16).max
        operations = np.full((n, v), -1, dtype=np.int32 if wide else np.int16)
        adjacency = np.zeros((n, v, v), dtype=np.uint8)
        for i, code in enumerate(codes.tolist()):
            graph = self.graph(code)
            nodes[i] = len(graph.operations)
            operations[i, : nodes[i]] = graph.operations
            for a, b in graph.edges:
                adjacency[i, a, b] = 1
        return Graphs(nodes, operations, adjacency)

    def live_code(self, code: Sequence[int]) -> Code:
        """The code with every slot that no signal passes at its first choice; the code itself by default."""
        return tuple(code)

    def listing(self) -> ListedSpace | None:
        """The same space as one that lists its architectures, if it can be listed."""
        return None

    def describe(self) -> dict[str, Any]:
        """All that makes this space this one, as plain JSON values; ``make_space`` builds it from them."""
        return {"name": self.name}

    def rows(self, texts: Iterable[str]) -> Codes:
        """Codes of many strings, [texts, slots]. Raises ``ArchitectureError`` at the first stranger."""
        texts = list(texts)
        codes = np.full((len(texts), len(self.slot_sizes)), PAD, dtype=np.int16)
        for row, text in zip(codes, texts, strict=True):
            code = self.parse(text)
            row[: len(code)] = code
        return codes

    def _stranger(self, text: str, form: str) -> ArchitectureError:
        example = self.format(self.sample(1, np.random.default_rng(0))[0].tolist())
        return ArchitectureError(
            f"an architecture of the space {self.name!r}, written as {form}",
            repr(text),
            f"check the string; one of this space is {example!r}",
        )


class ListedSpace(SearchSpace):
    """A space whose architectures can be listed in a fixed order; an index is a position in it."""

    @property
    @abstractmethod
    def codes(self) -> NDArray[np.int8]:
        """Every architecture, [architectures, slots]."""

    @abstractmethod
    def neighbour_table(self) -> NDArray[np.int32]:
        """Indices one elementary edit away, [architectures, K]; ``PAD`` fills short rows."""

    def listing(self) -> ListedSpace:
        """The space itself."""
        return self

    def __len__(self) -> int:
        return len(self.codes)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}: {len(self):,} architectures>"

    @property
    def size(self) -> int:  # type: ignore[override]
        """Number of architectures."""
        return len(self)

    @cached_property
    def _table(self) -> NDArray[np.int32]:
        return self.neighbour_table()

    @cached_property
    def max_neighbours(self) -> int:  # type: ignore[override]
        """Most neighbours of any architecture."""
        return self._table.shape[1]

    def sample(self, n: int, generator: np.random.Generator) -> Codes:
        """Uniform over all, [n, slots]."""
        return self.codes[generator.integers(len(self), size=n)].astype(np.int16)

    def neighbours(self, codes: Codes) -> NDArray[np.int16]:
        """``neighbour_table`` as codes, [n, K, slots]."""
        around = self._table[self.positions(codes)]
        found = self.codes[around].astype(np.int16)
        found[around == PAD] = PAD
        return found

    def positions(self, codes: Codes) -> NDArray[np.int64]:
        """Index of each architecture, [n]; every code must be one of the space's."""
        place = self._position
        return np.array([place[code.tobytes()] for code in codes.astype(np.int8)], dtype=np.int64)

    @cached_property
    def _position(self) -> dict[bytes, int]:
        return {code.tobytes(): i for i, code in enumerate(self.codes)}

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


def listed(space: SearchSpace) -> ListedSpace:
    """The space as one that lists its architectures.

    Raises:
        ArchitectureError: it cannot.
    """
    found = space.listing()
    if found is not None:
        return found
    size = "of unknown size" if space.size is None else f"of {space.size:.3g} architectures"
    raise ArchitectureError(
        "a space whose architectures can be listed, as a table of measurements needs",
        f"the space {space.name!r} {size}",
        "fit a surrogate to the measured sample: 'archwalk data fit-surrogate --help'",
    )


def restrict_neighbours(table: NDArray[np.int32], rows: NDArray[np.int64]) -> NDArray[np.int32]:
    """The neighbour table among some architectures only, renumbered by their position in ``rows``.

    Args:
        table: [architectures, K] from ``ListedSpace.neighbour_table``.
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
