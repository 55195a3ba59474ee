"""``DartsSpace``: the cells of DARTS, about 10^18 genotypes, none of them listed.

In: nothing. Out: a ``SearchSpace`` of pairs of cells, normal and reduction, as NAS-Bench-301 (Zela et al.
2022) searches it. Next: ``archwalk.networks.darts`` builds what a genotype stands for.

A cell reads the outputs of the two cells before it, its nodes 0 (the one before the last) and 1 (the last).
Each of its nodes 2 to 5 sums two operations on two distinct earlier nodes; the cell's output is nodes 2 to 5,
one after the other along the channels (Liu et al. 2019, section 2.1 and appendix A).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Hashable, Sequence
from itertools import combinations, groupby, permutations, product
from math import comb, prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from archwalk.spaces.base import Code, Codes, Graph, Graphs, SearchSpace

# In the order of PRIMITIVES in the authors' code; 0, "none", stands on the edges that a genotype leaves out.
DARTS_OPERATIONS = (
    "none",
    "max_pool_3x3",
    "avg_pool_3x3",
    "skip_connect",
    "sep_conv_3x3",
    "sep_conv_5x5",
    "dil_conv_3x3",
    "dil_conv_5x5",
)
CELLS = ("normal", "reduce")
NODES = (2, 3, 4, 5)
# (from, to) of a cell's possible edges, by end and then by start: the slots of a code, normal cell first.
DARTS_EDGES = tuple((start, end) for end in NODES for start in range(end))
POOLS, SKIP = (1, 2), 3

_OPERATIONS = len(DARTS_OPERATIONS) - 1
_STARTS = np.array([start for _ in CELLS for start, _ in DARTS_EDGES])
_ENDS = np.array([end for _ in CELLS for _, end in DARTS_EDGES])
_CHOSEN = 2 * len(NODES) * len(CELLS)  # edges of a genotype, 16
_FREE = len(_ENDS) - _CHOSEN  # edges left out, 12
_CHANGES = _OPERATIONS - 1
_PAIR = r"\('([a-z0-9_]+)',([0-9])\)"
_GENOTYPE = re.compile(
    r"Genotype\(normal=\[([^\]]*)\],normal_concat=(?:range\(2,6\)|\[2,3,4,5\]),"
    r"reduce=\[([^\]]*)\],reduce_concat=(?:range\(2,6\)|\[2,3,4,5\])\)"
)


class DartsSpace(SearchSpace):
    """Pairs of DARTS cells with four nodes and seven operations.

    A code has a slot for every possible edge, 14 of the normal cell in the order of ``DARTS_EDGES``, then 14
    of the reduction cell: 0 where the genotype has no edge, else an index into ``DARTS_OPERATIONS``. Each
    node has exactly two edges. So the inputs of a node have no order, and a genotype has one code; where they
    are written, the earlier one comes first.

    An edit changes one operation (16 edges, 6 others each) or moves one edge, with its operation, to another
    input of the same node (2 edges × 0, 1, 2, 3 unused inputs of the four nodes, two cells): 96 + 24 = 120.
    """

    def __init__(self, name: str = "darts") -> None:
        self.name = name
        operations = DARTS_OPERATIONS[1:]
        self.vocabulary = (
            "input",
            "output",
            "input_last",
            *(f"{cell}:{operation}" for cell in CELLS for operation in operations),
        )
        self.max_nodes = 2 + _CHOSEN + 1
        self.slot_sizes = (len(DARTS_OPERATIONS),) * len(_ENDS)
        self.size = prod(comb(end, 2) * _OPERATIONS**2 for end in NODES) ** len(CELLS)
        self.max_neighbours = _CHOSEN * _CHANGES + 2 * _FREE

    def sample(self, n: int, generator: np.random.Generator) -> Codes:
        """Uniform over all genotypes, [n, 28]."""
        codes = np.zeros((n, len(_ENDS)), dtype=np.int16)
        rows, first = np.arange(n), 0
        for _ in CELLS:
            for end in NODES:
                pairs = np.array(list(combinations(range(end), 2)))[generator.integers(comb(end, 2), size=n)]
                for side in (0, 1):
                    codes[rows, first + pairs[:, side]] = generator.integers(1, 1 + _OPERATIONS, size=n)
                first += end
        return codes

    def neighbours(self, codes: Codes) -> NDArray[np.int16]:
        """Changed operations edge by edge, then moved edges by their new place, [n, 120, 28]."""
        n = len(codes)
        around = np.repeat(codes[:, None], self.max_neighbours, axis=1)
        rows = np.arange(n)[:, None]
        chosen, operations = _chosen(codes)
        new = np.arange(1, 1 + _CHANGES, dtype=np.int16)
        others = new + (new >= operations[:, :, None])
        changed = around[:, : _CHOSEN * _CHANGES].reshape(n, _CHOSEN, _CHANGES, codes.shape[1])
        changed[rows, np.arange(_CHOSEN), :, chosen] = others
        free = np.nonzero(codes == 0)[1].reshape(n, _FREE)
        # Each node has two edges in ``chosen``, so the first of a node's pair follows from the node alone.
        pair = 2 * _NODE_OF[free]
        for side in (0, 1):
            to = _CHOSEN * _CHANGES + 2 * np.arange(_FREE) + side
            around[rows, to, free] = np.take_along_axis(operations, pair + side, axis=1)
            around[rows, to, np.take_along_axis(chosen, pair + side, axis=1)] = 0
        return around

    def parse(self, text: str) -> Code:
        """Read this package's string, or a ``Genotype(normal=[('sep_conv_3x3', 0), ...], ...)``.

        The inputs of a node may stand in either order. Of a ``Genotype`` only the operation names and numbers
        are read, nothing is executed; its cells must put out nodes 2 to 5.
        """
        official = _GENOTYPE.fullmatch(re.sub(r"\s", "", text))
        plain = re.fullmatch(r"normal:([^:]+):reduce:([^:]+)", text)
        code: list[int] = []
        if official or plain:
            for cell in (official or plain).groups():  # type: ignore[union-attr]
                code += _official_cell(cell) if official else _plain_cell(cell)
        if len(code) != len(_ENDS):
            raise self._stranger(
                text,
                "normal:OP~INPUT+OP~INPUT,...:reduce:... with four nodes a cell, two distinct earlier inputs "
                f"a node and operations {', '.join(DARTS_OPERATIONS[1:])}, or as the Genotype(...) of the "
                "authors' code with nodes 2 to 5 as output",
            )
        return tuple(code)

    def format(self, code: Sequence[int]) -> str:
        """Write ``normal:sep_conv_3x3~0+skip_connect~1,...:reduce:...``, nodes between commas."""
        cells = [
            ",".join("+".join(f"{operation}~{start}" for operation, start in node) for node in cell)
            for cell in _terms(code)
        ]
        return ":".join(part for pair in zip(CELLS, cells, strict=True) for part in pair)

    def genotype(self, code: Sequence[int]) -> str:
        """The same as the authors' code prints it, a ``Genotype(...)`` that ``parse`` reads."""
        normal, reduce = (repr([pair for node in cell for pair in node]) for cell in _terms(code))
        concat = list(NODES)
        return f"Genotype(normal={normal}, normal_concat={concat}, reduce={reduce}, reduce_concat={concat})"

    def canonical(self, code: Sequence[int]) -> Hashable:
        """A key that genotypes share which differ in the order of nodes and in how the same sums are built.

        Merged are: numberings of a cell's nodes (the output's channels change places, which the next cell's
        1×1 convolutions undo); sums through identities, as a skip connection passes on the terms that its
        input sums (except from the two inputs of a reduction cell, where it is two strided convolutions); and
        pools of the same kind over the same sum with the same stride, which have no weights. Convolutions
        have their own weights, so two of them are two terms. Not merged: what follows from pooling being
        linear (the mean pool of a sum is the sum of mean pools), and a node that the next cell's weights
        could replace. No node is without effect, since all four are put out.
        """
        half = len(DARTS_EDGES)
        return _cell_key(tuple(code[:half]), False), _cell_key(tuple(code[half:]), True)

    def graph(self, code: Sequence[int]) -> Graph:
        """Both cells side by side: their two inputs, a node an edge, one output.

        Nodes 0 and 1 are the outputs of the cell before the last and of the last, which both cells read; then
        the 8 edges of the normal cell and the 8 of the reduction cell, in the order of the code; then the
        output. An edge's node feeds the output and those of the edges that leave its end. The two that a node
        sums stand side by side, so that the ordered graph decides the genotype.
        """
        edges, operations = [], []
        for c, cell in enumerate(_terms(code)):
            first = 2 + c * 2 * len(NODES)
            for j, node in enumerate(cell):
                for side, (operation, start) in enumerate(node):
                    here = first + 2 * j + side
                    operations.append(2 + DARTS_OPERATIONS.index(operation) + c * _OPERATIONS)
                    behind = first + 2 * (start - 2)
                    edges += [(start, here)] if start < 2 else [(behind, here), (behind + 1, here)]
                    edges.append((here, self.max_nodes - 1))
        return Graph((0, 2, *operations, 1), tuple(sorted(edges)))

    def graphs(self, codes: Codes) -> Graphs:
        """``graph`` of many."""
        n, v = len(codes), self.max_nodes
        chosen, operations = _chosen(codes)
        in_reduction = np.arange(_CHOSEN) >= _CHOSEN // 2
        words = np.zeros((n, v), dtype=np.int16)
        words[:, 1], words[:, -1] = 2, 1
        words[:, 2:-1] = 2 + operations + _OPERATIONS * in_reduction
        start = _STARTS[chosen]
        first = np.where(start < 2, start, 2 * (start - 1) + _CHOSEN // 2 * in_reduction)
        second = first + (start >= 2)
        adjacency = np.zeros((n, v, v), dtype=np.uint8)
        rows, here = np.arange(n)[:, None], 2 + np.arange(_CHOSEN)
        adjacency[rows, first, here] = 1
        adjacency[rows, second, here] = 1
        adjacency[:, 2:-1, -1] = 1
        return Graphs(np.full(n, v, dtype=np.int64), words, adjacency)


_NODE_OF = _ENDS - 2 + len(NODES) * (np.arange(len(_ENDS)) >= len(DARTS_EDGES))  # node of each slot, 0 to 7


def _chosen(codes: Codes) -> tuple[NDArray[np.int64], NDArray[np.int16]]:
    """Slots of the genotype's edges, two for each node in order, and their operations, both [n, 16]."""
    chosen = np.nonzero(codes)[1].reshape(len(codes), _CHOSEN)
    return chosen, np.take_along_axis(codes, chosen, axis=1)


def _terms(code: Sequence[int]) -> list[list[list[tuple[str, int]]]]:
    """By cell and node: (operation's name, input), inputs in ascending order."""
    cells: list[list[list[tuple[str, int]]]] = [[[] for _ in NODES] for _ in CELLS]
    for slot, operation in enumerate(code):
        if operation:
            cell, edge = divmod(slot, len(DARTS_EDGES))
            start, end = DARTS_EDGES[edge]
            cells[cell][end - 2].append((DARTS_OPERATIONS[operation], start))
    return cells


def _official_cell(text: str) -> list[int]:
    """Codes of ``('op',input),('op',input),...``; nothing if it is no cell."""
    if not re.fullmatch(f"{_PAIR}(?:,{_PAIR})*,?", text):
        return []
    return _cell_code([(operation, int(start)) for operation, start in re.findall(_PAIR, text)])


def _plain_cell(text: str) -> list[int]:
    """Codes of ``op~input+op~input,...``; nothing if it is no cell."""
    term = r"([a-z0-9_]+)~([0-9])"
    if not re.fullmatch(rf"{term}\+{term}(?:,{term}\+{term})*", text):
        return []
    return _cell_code([(operation, int(start)) for operation, start in re.findall(term, text)])


def _cell_code(terms: Sequence[tuple[str, int]]) -> list[int]:
    code = [0] * len(DARTS_EDGES)
    for i, (operation, start) in enumerate(terms):
        edge = (start, 2 + i // 2)
        if edge not in DARTS_EDGES or operation not in DARTS_OPERATIONS[1:]:
            return []
        code[DARTS_EDGES.index(edge)] = DARTS_OPERATIONS.index(operation)
    return code if len(terms) == 2 * len(NODES) == sum(map(bool, code)) else []


_Reference = tuple[int, int, int, tuple[Any, ...]]  # kind, number, operation, what it reads


def _cell_key(code: Sequence[int], reduction: bool) -> Hashable:
    """A cell's sums under one numbering of its nodes, the one with the smallest spelling.

    A node is a multiset of terms: an input, an edge with weights (a term of its own, known by the node where
    it ends), or a pool of some multiset. An identity passes on the terms of its start. Two edges of a node
    that are alike stay together wherever its terms are passed on, so numbering the nodes numbers the terms.
    """
    ends: list[list[tuple[int, int]]] = [[] for _ in NODES]
    for (start, end), operation in zip(DARTS_EDGES, code, strict=True):
        if operation:
            ends[end - 2].append((operation, start))

    def spelled(number: Sequence[int]) -> list[tuple[Any, ...]]:
        sums: list[Counter[_Reference]] = [Counter({(0, i, 0, ()): 1}) for i in (0, 1)]
        for node, terms in enumerate(ends):
            here: Counter[_Reference] = Counter()
            for operation, start in terms:
                if operation == SKIP and not (reduction and start < 2):
                    here.update(sums[start])
                else:
                    read = tuple(sorted(sums[start].items()))
                    kind, mark = (2, 0) if operation in POOLS else (1, number[node])
                    here[kind, mark, operation, read] += 1
            sums.append(here)
        return [tuple(sorted(terms.items())) for terms in sums[2:]]

    # Without numbers, nodes that look different can be told apart; only those that look alike are tried in
    # every order.
    looks = spelled([0] * len(NODES))
    order = sorted(range(len(NODES)), key=lambda node: looks[node])
    groups = [list(group) for _, group in groupby(order, key=lambda node: looks[node])]
    keys = []
    for ways in product(*(permutations(group) for group in groups)):
        nodes = [node for way in ways for node in way]
        number = [nodes.index(node) for node in range(len(NODES))]
        by_node = spelled(number)
        keys.append(tuple(by_node[node] for node in nodes))
    return min(keys)
