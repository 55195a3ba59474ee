"""``Encoder``: the graph of an architecture, of any space, to a vector.

In: architectures of a space, drawn as ``Drawings``. Out: a vector each. Next: ``pretraining`` trains the
encoder
to remember architectures, ``archwalk.searching.incontext`` to say how good they are.

A small transformer over the nodes of a graph, whose attention knows by what edge two nodes are joined (the
attention bias of Graphormer, Ying et al. 2021, with edges in place of path lengths).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float32, Int64
from torch import Tensor, nn
from torch.nn import functional as F

from archwalk.encoding.words import FEATURES, describe_words
from archwalk.spaces.base import Codes, SearchSpace

RELATIONS = 4  # of two nodes: the same, an edge to the other, an edge from it, none
DEPTH = 8  # of a node whose depth is the feature 1
PLACES = 6  # features of a node's place: depth from the input, height over the output, edges in and out


@dataclass(frozen=True)
class Drawings:
    """Graphs as tensors, V places for nodes each.

    Attributes:
        words: features of the space's vocabulary, [words, features].
        operations: a word for each node, [n, V]; -1 where there is none.
        places: where each node stands, [n, V, PLACES].
        relations: how two nodes are joined, [n, V, V].
    """

    words: Float32[Tensor, "words features"]
    operations: Int64[Tensor, "n nodes"]
    places: Float32[Tensor, "n nodes places"]
    relations: Int64[Tensor, "n nodes nodes"]

    def __len__(self) -> int:
        return len(self.operations)

    def rows(self, at: Int64[Tensor, " m"]) -> Drawings:
        """Some of them, [m]."""
        return Drawings(self.words, self.operations[at], self.places[at], self.relations[at])


def draw(space: SearchSpace, codes: Codes) -> Drawings:
    """The graphs of architectures, without nodes that no signal passes.

    Args:
        space: the space.
        codes: [n, slots].
    """
    graphs = space.graphs(codes)
    n, v = len(codes), int(graphs.nodes.max(initial=2))
    adjacency = graphs.adjacency[:, :v, :v].astype(bool)
    there = np.arange(v) < graphs.nodes[:, None]
    depth = np.zeros((n, v), dtype=np.float32)
    height = np.zeros((n, v), dtype=np.float32)
    for node in range(1, v):  # nodes are in topological order
        before = np.where(adjacency[:, :node, node], depth[:, :node] + 1, 0)
        depth[:, node] = before.max(1, initial=0)
    for node in range(v - 2, -1, -1):
        behind = np.where(adjacency[:, node, node + 1 :], height[:, node + 1 :] + 1, 0)
        height[:, node] = behind.max(1, initial=0)
    longest = np.maximum(depth.max(1, keepdims=True), 1)
    degrees = [adjacency.sum(axis) / 3 for axis in (1, 2)]
    places = np.stack([depth / longest, height / longest, depth / DEPTH, height / DEPTH, *degrees], 2)
    relations = np.full((n, v, v), 3)
    relations[adjacency] = 1
    relations[adjacency.transpose(0, 2, 1)] = 2
    relations[:, np.arange(v), np.arange(v)] = 0
    operations = np.where(there, graphs.operations[:, :v].astype(np.int64), -1)
    return Drawings(
        torch.from_numpy(describe_words(space)),
        torch.from_numpy(operations),
        torch.from_numpy((places * there[:, :, None]).astype(np.float32)),
        torch.from_numpy(relations),
    )


class NodeLayer(nn.Module):
    """A pre-norm transformer layer over the nodes of a graph.

    Args:
        width: of a node's vector.
        heads: of the attention.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)
        self.bias = nn.Embedding(RELATIONS, heads)

    def forward(
        self,
        x: Float[Tensor, "n nodes width"],
        relations: Int64[Tensor, "n nodes nodes"],
        absent: Tensor,
    ) -> Float[Tensor, "n nodes width"]:
        """``absent`` is added to the attention's scores, -inf for places without a node, [n, 1, 1, nodes]."""
        n, v, width = x.shape
        q, k, value = self.qkv(self.norm1(x)).view(n, v, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        scores = (q * q.shape[-1] ** -0.5) @ k.transpose(2, 3)
        scores = scores + self.bias(relations).permute(0, 3, 1, 2) + absent
        x = x + self.out((scores.softmax(-1) @ value).transpose(1, 2).reshape(n, v, width))
        y: Tensor = x + self.down(F.gelu(self.up(self.norm2(x))))
        return y


class Encoder(nn.Module):
    """Drawings to vectors.

    Args:
        width: of a vector, a multiple of 4.
        layers: of the transformer.
    """

    def __init__(self, width: int = 64, layers: int = 3) -> None:
        super().__init__()
        self.width = width
        self.word = nn.Linear(FEATURES, width)
        self.place = nn.Linear(PLACES, width)
        self.layers = nn.ModuleList(NodeLayer(width, 4) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.pooled = nn.Linear(2 * width, width)

    def forward(self, drawings: Drawings) -> Float[Tensor, "n width"]:
        """One vector an architecture."""
        there = drawings.operations >= 0
        x = self.word(drawings.words)[drawings.operations.clamp(min=0)] + self.place(drawings.places)
        absent = torch.zeros(there.shape).masked_fill(~there, -torch.inf)[:, None, None, :]
        for layer in self.layers:
            x = layer(x, drawings.relations, absent)
        x = self.norm(x) * there[:, :, None]
        count = there.sum(1, keepdim=True)
        largest = x.masked_fill(~there[:, :, None], -torch.inf).amax(1)
        # The sum, over a fixed number, keeps how many operations of a kind there are.
        pooled: Tensor = self.pooled(torch.cat([x.sum(1) / count.float().sqrt(), largest], 1))
        return pooled
