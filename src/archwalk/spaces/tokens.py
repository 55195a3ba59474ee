"""How an architecture becomes a token, the network's input.

In: a ``SearchSpace``. Out: a ``TokenTable``, one or more binary rows an architecture. Next: ``walk`` offers
architectures by index, and ``agent.network`` reads their rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float32, Int64, UInt8
from torch import Tensor

from archwalk.spaces.base import Graph, ListedSpace, SearchSpace

TokenKind = Literal["graph", "slots"]


@dataclass(frozen=True)
class TokenTable:
    """Every token of every architecture, and how to draw one.

    Attributes:
        rows: the tokens, binary, [tokens, features]; those of one architecture lie together.
        first: row of an architecture's first token, [architectures].
        count: how many tokens an architecture has, at least 1, [architectures].
        kind: ``graph`` (one token for each place of the graph on the diagonal) or ``slots`` (one).
    """

    rows: UInt8[Tensor, "tokens features"]
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
