"""``CellSpace``: four nodes, six edges, one operation an edge (NAS-Bench-201 and TransNAS-Bench-101).

In: the operations and how a cell is written. Out: a ``SearchSpace`` whose graphs and canonical keys know
what a cell computes. The edge order, the one fact every format here shares, stands in ``EDGES``.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Hashable, Sequence
from itertools import permutations, product
from typing import Literal

from archwalk.spaces.base import Code, Graph
from archwalk.spaces.product import SlotSpace

EDGES = ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))
MICRO_OPERATIONS = ("none", "skip", "conv1x1", "conv3x3")
NB201_OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")


class CellSpace(SlotSpace):
    """Cells of four nodes: node j sums its incoming edges, each an operation on an earlier node.

    Args:
        name: the space's name.
        operations: the choices of every edge; the first is "none", the second the identity.
        style: ``transnas`` writes ``PREFIX-a_bc_def`` with operation numbers, edges as in ``EDGES``
            (TransNAS-Bench-101, Duan et al. 2021); ``nasbench201`` writes ``|op~0|+|op~0|op~1|+|...|``
            (Dong and Yang 2020).
        prefix: the skeleton in front of a ``transnas`` string.
    """

    def __init__(
        self,
        name: str,
        operations: tuple[str, ...],
        style: Literal["transnas", "nasbench201"],
        prefix: str = "",
    ) -> None:
        super().__init__({f"{a}->{b}": operations for a, b in EDGES}, name=name)
        self.operations = operations
        self.vocabulary = ("input", "output", *operations[1:])
        self.max_nodes = len(EDGES) + 2
        self._style, self._prefix = style, prefix

    def describe(self) -> dict[str, str]:
        """The name says it all."""
        return {"name": self.name}

    def parse(self, text: str) -> Code:
        """Read a cell string of this space's style."""
        if self._style == "transnas":
            form = f"{self._prefix}-a_bc_def with digits 0-{len(self.operations) - 1}"
            match = re.fullmatch(re.escape(self._prefix) + r"-(\d)_(\d)(\d)_(\d)(\d)(\d)", text, re.ASCII)
            code = tuple(int(d) for d in match.groups()) if match else ()
        else:
            form = "|op~0|+|op~0|op~1|+|op~0|op~1|op~2|"
            names = re.findall(r"\|([a-z0-9_]+)~\d(?=\|)", text)
            known = all(name in self.operations for name in names)
            code = tuple(self.operations.index(name) for name in names) if known else ()
        if len(code) != len(EDGES) or max(code) >= len(self.operations) or self.format(code) != text:
            raise self._stranger(text, form)
        return code

    def format(self, code: Sequence[int]) -> str:
        """Write a cell string of this space's style."""
        a, b, c, d, e, f = code
        if self._style == "transnas":
            return f"{self._prefix}-{a}_{b}{c}_{d}{e}{f}"
        o = self.operations
        return f"|{o[a]}~0|+|{o[b]}~0|{o[c]}~1|+|{o[d]}~0|{o[e]}~1|{o[f]}~2|"

    def live_edges(self, code: Sequence[int]) -> tuple[int, ...]:
        """Positions in ``EDGES`` of the edges on a path from input to output without "none"."""
        present = [e for e, operation in enumerate(code) if operation != 0]
        forward, backward = {0}, {3}
        for e in sorted(present, key=lambda e: EDGES[e][0]):
            if EDGES[e][0] in forward:
                forward.add(EDGES[e][1])
        for e in sorted(present, key=lambda e: -EDGES[e][1]):
            if EDGES[e][1] in backward:
                backward.add(EDGES[e][0])
        return tuple(e for e in present if EDGES[e][0] in forward and EDGES[e][1] in backward)

    def live_code(self, code: Sequence[int]) -> Code:
        """The cell with "none" on every edge that is not live."""
        live = self.live_edges(code)
        return tuple(operation if e in live else 0 for e, operation in enumerate(code))

    def graph(self, code: Sequence[int]) -> Graph:
        """Input, one node a live edge, output; an edge's node feeds those of the edges that leave its end."""
        live = self.live_edges(code)
        node = {e: i + 1 for i, e in enumerate(live)}  # EDGES is in topological order already
        output = len(live) + 1
        edges = []
        for e in live:
            start, end = EDGES[e]
            if start == 0:
                edges.append((0, node[e]))
            if end == 3:
                edges.append((node[e], output))
            edges.extend((node[e], node[f]) for f in live if EDGES[f][0] == end)
        return Graph((0, *(code[e] + 1 for e in live), 1), tuple(sorted(edges)))

    def canonical(self, code: Sequence[int]) -> Hashable:
        """Two cells share this key if and only if they compute the same function.

        A node is the multiset of terms that it sums; an identity edge passes its source's terms on, every
        other live edge is one term of its own (its weights are its own, so one term used twice and two
        terms with the same inputs differ). The key is the smallest spelling over all ways to number the
        terms that look alike. Additive constants are left aside: a convolution whose input is always zero
        counts as absent.
        """
        terms: dict[int, tuple[int, Counter[int]]] = {}  # edge → (operation, multiset of input terms)
        nodes: list[Counter[int]] = [Counter({-1: 1}), Counter(), Counter(), Counter()]  # -1: the input
        for e in self.live_edges(code):
            start, end = EDGES[e]
            if code[e] == 1:
                nodes[end].update(nodes[start])
            else:
                terms[e] = (code[e], Counter(nodes[start]))
                nodes[end][e] += 1

        looks: dict[int, str] = {-1: ""}
        for e, (operation, inputs) in terms.items():
            looks[e] = f"({operation}:{sorted((looks[t], n) for t, n in inputs.items())})"
        alike: dict[str, list[int]] = {}
        for e in sorted(terms, key=lambda e: (looks[e], e)):
            alike.setdefault(looks[e], []).append(e)
        orders = product(*(permutations(group) for group in alike.values()))
        return min(_spell([e for group in order for e in group], terms, nodes[3]) for order in orders)


def _spell(
    order: Sequence[int], terms: dict[int, tuple[int, Counter[int]]], output: Counter[int]
) -> tuple[Hashable, ...]:
    """A cell's terms under one numbering: each one's operation and inputs, then what the output sums."""
    number = {-1: 0} | {e: i + 1 for i, e in enumerate(order)}
    spelled = [(terms[e][0], *sorted((number[t], n) for t, n in terms[e][1].items())) for e in order]
    return (*spelled, tuple(sorted((number[t], n) for t, n in output.items())))
