"""How an architecture becomes a token, the network's input.

In: a ``SearchSpace``. Out: a ``TokenTable``, one or more binary rows for each architecture of a listed space,
or a ``TokenEncoder``, which makes the same tokens when they are asked for, in any space. Next:
``archwalk.envs`` shows them, and ``agents.networks`` reads them. Tokens that an encoder makes are in
``archwalk.encoding.tokens``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float32, Int64, UInt8
from numpy.typing import NDArray
from torch import Tensor

from archwalk.spaces.base import Codes, Graph, ListedSpace, SearchSpace

TokenKind = Literal["graph", "slots", "encoded"]
PlainKind = Literal["graph", "slots"]  # numbers from 0 to 1, without an encoder


@dataclass(frozen=True)
class TokenTable:
    """Every token of every architecture, and how to draw one.

    Attributes:
        rows: the tokens, binary or vectors, [tokens, features]; those of one architecture lie together.
        first: row of an architecture's first token, [architectures].
        count: how many tokens an architecture has, at least 1, [architectures].
        kind: ``graph`` (one token for each place of the graph on the diagonal); ``slots``, ``encoded``
            (one).
    """

    rows: UInt8[Tensor, "tokens features"] | Float32[Tensor, "tokens features"]
    first: Int64[Tensor, " architectures"]
    count: Int64[Tensor, " architectures"]
    kind: TokenKind

    @property
    def random(self) -> bool:
        """Whether some architecture has more than one token."""
        return len(self.rows) != len(self.first)

    @property
    def features(self) -> int:
        """Length of a token."""
        return self.rows.shape[1]

    def draw(
        self, architectures: Int64[Tensor, "*shape"], generator: torch.Generator
    ) -> Int64[Tensor, "*shape"]:
        """A token row for each architecture index, uniform over its tokens.

        Indices below zero (padding) get row 0, which the network masks. Consumes random numbers only where
        some architecture has more than one token.
        """
        shape = architectures.shape if self.random else (0,)
        u = torch.rand(shape, generator=generator, device=architectures.device)
        return self.pick(architectures, u)

    def pick(
        self, architectures: Int64[Tensor, "*shape"], u: Float32[Tensor, "*draws"]
    ) -> Int64[Tensor, "*shape"]:
        """``draw`` with numbers from [0, 1) drawn before: one an architecture, or none if none is needed."""
        at = architectures.clamp(min=0)
        if not self.random:
            return self.first[at]
        return self.first[at] + (u * self.count[at]).long()

    def to(self, device: torch.device) -> TokenTable:
        """The same on a device."""
        rows, first, count = (t.to(device) for t in (self.rows, self.first, self.count))
        return TokenTable(rows, first, count, self.kind)


def make_tokens(space: ListedSpace, kind: TokenKind, rows: np.ndarray | None = None) -> TokenTable:
    """The tokens of a space.

    Args:
        space: the space.
        kind: ``graph`` is the paper's observation (section 4; method of Cassimon et al. 2024): adjacency
            matrix V × V flattened, then the operations one-hot V × vocabulary, the graph placed at every
            offset on the main diagonal. ``slots`` is one one-hot vector a slot; an absent slot is zero.
        rows: indices of the architectures to encode, in order; all of them by default.
    """
    codes = space.codes if rows is None else space.codes[rows]
    if kind == "slots":
        encoded = _one_hot(codes, space.slot_sizes)
        counts = np.ones(len(codes), dtype=np.int64)
    else:
        tokens = [_placements(space.graph(code), space) for code in codes.tolist()]
        encoded = np.concatenate(tokens)
        counts = np.array([len(t) for t in tokens], dtype=np.int64)
    first = np.concatenate([[0], np.cumsum(counts)[:-1]])
    return TokenTable(torch.from_numpy(encoded), torch.from_numpy(first), torch.from_numpy(counts), kind)


@runtime_checkable
class Tokens(Protocol):
    """Tokens of a space's architectures, made when they are asked for.

    Attributes:
        random: some architecture has more than one token.
        features: length of a token.
    """

    random: bool
    features: int

    def encode(
        self, codes: Codes, u: NDArray[np.float32] | None = None
    ) -> NDArray[np.uint8] | NDArray[np.float32]:
        """One token each, [n, features]; a row of padding gets zeros or any token, which the network masks.

        Args:
            codes: [n, slots].
            u: draws from [0, 1), [n], where tokens are random.
        """
        ...

    def fresh(self) -> Tokens:
        """The same with nothing kept."""
        ...

    def state_dict(self) -> dict[str, Tensor]:
        """What a continuation needs."""
        ...

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """The inverse of ``state_dict``."""
        ...


class TokenEncoder:
    """Tokens of any space's architectures, made when they are asked for.

    Args:
        space: the space.
        kind: as for ``make_tokens``: an architecture's tokens are those that its row there would have.
    """

    def __init__(self, space: SearchSpace, kind: TokenKind) -> None:
        self.space, self.kind = space, kind
        v, words, sizes = space.max_nodes, len(space.vocabulary), space.slot_sizes
        self.random = kind == "graph"
        self.features = v * v + v * words if self.random else sum(sizes)
        self._first = np.concatenate([[0], np.cumsum(sizes)[:-1]])

    def encode(self, codes: Codes, u: NDArray[np.float32] | None = None) -> NDArray[np.uint8]:
        """One token each, [n, features]; a row of padding gets zeros or any token, which the network masks.

        Args:
            codes: [n, slots].
            u: draws from [0, 1) that place each graph, [n]; for ``graph`` only.
        """
        if not self.random:
            tokens = np.zeros((len(codes), self.features), dtype=np.uint8)
            row, slot = np.nonzero(codes >= 0)
            tokens[row, self._first[slot] + codes[row, slot]] = 1
            return tokens
        assert u is not None
        return self._placed(codes, u)

    def fresh(self) -> TokenEncoder:
        """Itself: nothing is kept."""
        return self

    def state_dict(self) -> dict[str, Tensor]:
        """Nothing."""
        return {}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Nothing to do."""

    def _placed(self, codes: Codes, u: NDArray[np.float32]) -> NDArray[np.uint8]:
        n, v, words = len(codes), self.space.max_nodes, len(self.space.vocabulary)
        real = np.flatnonzero((codes >= 0).any(1))
        graphs = self.space.graphs(codes[real])
        offset = (u[real] * (v - graphs.nodes + 1)).astype(np.int64)
        tokens = np.zeros((n, self.features), dtype=np.uint8)
        g, a, b = np.nonzero(graphs.adjacency)
        tokens[real[g], (a + offset[g]) * v + b + offset[g]] = 1
        g, node = np.nonzero(graphs.operations >= 0)
        place = v * v + (node + offset[g]) * words + graphs.operations[g, node]
        tokens[real[g], place] = 1
        return tokens


def _one_hot(codes: np.ndarray, sizes: tuple[int, ...]) -> np.ndarray:
    blocks = [codes[:, [s]] == np.arange(size) for s, size in enumerate(sizes)]
    return np.concatenate(blocks, axis=1).astype(np.uint8)


def _placements(graph: Graph, space: SearchSpace) -> np.ndarray:
    """[offsets, V·V + V·vocabulary]: the graph at every offset where it fits."""
    v, words = space.max_nodes, len(space.vocabulary)
    nodes = len(graph.operations)
    offsets = v - nodes + 1
    adjacency = np.zeros((offsets, v, v), dtype=np.uint8)
    operations = np.zeros((offsets, v, words), dtype=np.uint8)
    for o in range(offsets):
        for a, b in graph.edges:
            adjacency[o, a + o, b + o] = 1
        for i, operation in enumerate(graph.operations):
            operations[o, i + o, operation] = 1
    return np.concatenate([adjacency.reshape(offsets, -1), operations.reshape(offsets, -1)], axis=1)
