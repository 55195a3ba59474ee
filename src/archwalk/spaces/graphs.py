"""``NasBench101Space``: small graphs up to isomorphism, the cells of NAS-Bench-101.

In: nothing. Out: a ``SearchSpace`` of classes of graphs, of which nobody needs a list; and the hash by which
the official table names them. Next: ``archwalk.networks.nasbench101`` builds a cell;
``archwalk.tasks.importers_nasbench101`` reads the table.

A cell has up to seven vertices, input and output among them, at most nine edges, and one of three operations
on each vertex in between; each vertex lies on a path from input to output (Ying et al. 2019, section 2.1).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Hashable, Iterable, Sequence
from functools import cache
from itertools import combinations, permutations
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from archwalk.spaces.base import PAD, Code, Codes, Graph, Graphs, SearchSpace

# In the order of the authors' configuration, which their hash depends on.
NB101_OPERATIONS = ("conv3x3-bn-relu", "conv1x1-bn-relu", "maxpool3x3")
MAX_VERTICES, MAX_EDGES = 7, 9
# Isomorphism classes by number of vertices; together the published 423,624.
CLASSES = {2: 1, 3: 6, 4: 84, 5: 2_441, 6: 62_010, 7: 359_082}

_INTERIOR, _OUTPUT = MAX_VERTICES - 2, MAX_VERTICES - 1
# Slots behind those of the operations: (from, to), 0 the input and 6 the output.
NB101_EDGES = tuple(combinations(range(MAX_VERTICES), 2))
_FROM, _TO = (np.array(side) for side in zip(*NB101_EDGES, strict=True))
_ORDERS = np.array(list(permutations(range(_INTERIOR))))
# The bits of a key: an operation takes two, an edge one.
_OPERATION_BITS = 4 ** np.arange(_INTERIOR, dtype=np.int64) << len(NB101_EDGES)
_EDGE_BITS = 2 ** np.arange(len(NB101_EDGES), dtype=np.int64)


class Batch(NamedTuple):
    """Graphs with the input at 0 and the output at 6, interior vertices between them in any order.

    Attributes:
        matrices: 1 where an edge leads from row to column, [n, 7, 7]; an absent vertex has none.
        operations: an index into ``NB101_OPERATIONS`` for vertices 1 to 5, [n, 5]; -1 for an absent one.
    """

    matrices: NDArray[np.uint8]
    operations: NDArray[np.int16]

    def rows(self, at: NDArray[np.bool_] | NDArray[np.int64]) -> Batch:
        """Some of them."""
        return Batch(self.matrices[at], self.operations[at])

    @property
    def present(self) -> NDArray[np.bool_]:
        """Which vertices there are, [n, 7]."""
        ends = np.ones((len(self.operations), 1), dtype=bool)
        return np.concatenate([ends, self.operations >= 0, ends], axis=1)


class NasBench101Space(SearchSpace):
    """Isomorphism classes of NAS-Bench-101's cells.

    A code has five slots for the operations of vertices 1 to 5 and one for each edge of ``NB101_EDGES``; -1
    stands for a vertex that is absent and for its edges. Of the codes of a class the space uses one:
    vertices in the order of their longest path from the input, then of a hash of their surroundings, and
    among those that look alike in the order with the smallest number. The hash only sorts: that the number
    is the smallest over all orders that it leaves open makes the choice exact.

    An edit changes an operation; removes an edge, or adds one that closes no cycle (in any order of the
    vertices, so also between two that have none); puts a new vertex on an edge; or takes away a vertex with
    one edge in and one out, whose ends it joins. Its result has at most nine edges and no vertex off the
    paths from input to output. Two classes are neighbours if an edit of some code of one gives some code of
    the other, which is mutual, and from each class there is a way to every other.
    """

    def __init__(self, name: str = "nasbench101") -> None:
        self.name = name
        self.vocabulary = ("input", "output", *NB101_OPERATIONS)
        self.max_nodes = MAX_VERTICES
        self.slot_sizes = (len(NB101_OPERATIONS),) * _INTERIOR + (2,) * len(NB101_EDGES)
        self.size = sum(CLASSES.values())
        self.max_neighbours = 46  # the most that any of the 423,624 has, found by walking to each of them

    def sample(self, n: int, generator: np.random.Generator) -> Codes:
        """Uniform over all classes, [n, 26]."""
        counts = np.array(list(CLASSES.values()))
        vertices = generator.choice(list(CLASSES), size=n, p=counts / counts.sum())
        codes = np.empty((n, len(self.slot_sizes)), dtype=np.int16)
        for v in np.unique(vertices):
            here = np.flatnonzero(vertices == v)
            codes[here] = _sample_classes(int(v), len(here), generator)
        return codes

    def neighbours(self, codes: Codes) -> NDArray[np.int16]:
        """Classes one edit away, by their keys, [n, 46, 26]."""
        edited, origin = _edited(_unpack(codes))
        found = canonical_codes(edited)
        pairs = np.unique(np.stack([origin, _keys(found)], axis=1), axis=0, return_index=True)
        sources, first = pairs[0][:, 0], pairs[1]
        place = np.arange(len(sources)) - np.searchsorted(sources, sources)
        around = np.full((len(codes), self.max_neighbours, codes.shape[1]), PAD, dtype=np.int16)
        around[sources, place] = found[first]
        return around

    def parse(self, text: str) -> Code:
        """The code of the class of a cell, written in any order, maybe with vertices off all paths."""
        return tuple(self.rows([text])[0].tolist())

    def rows(self, texts: Iterable[str]) -> Codes:
        """Codes of many strings, [texts, 26]. Raises ``ArchitectureError`` at the first stranger."""
        cells = [self.read(text) for text in texts]
        return canonical_codes(make_batch(cells)) if cells else np.zeros((0, 26), dtype=np.int16)

    def read(self, text: str) -> Cell:
        """The cell as it is written, without vertices off all paths.

        Raises:
            ArchitectureError: no such string, no path from input to output, or over nine edges on such paths.
        """
        match = re.fullmatch(r"([01]+(?:_[01]+)*):input,((?:[a-z0-9-]+,)*)output", text)
        rows = match.group(1).split("_") if match else []
        operations = match.group(2).split(",")[:-1] if match else []
        vertices = len(operations) + 2
        fits = vertices <= MAX_VERTICES and [len(row) for row in rows] == list(range(vertices - 1, 0, -1))
        if fits and all(operation in NB101_OPERATIONS for operation in operations):
            matrix = [[0] * (i + 1) + [int(bit) for bit in row] for i, row in enumerate(rows)]
            cell = prune(Cell([*matrix, [0] * vertices], operations))
            if cell is not None and sum(map(sum, cell.matrix)) <= MAX_EDGES:
                return cell
        raise self._stranger(
            text,
            "the rows of the upper triangle and the operations, 011_10_1:input,OP,OP,output, with at most "
            f"{MAX_VERTICES} vertices, a path from input to output, at most {MAX_EDGES} edges on such paths "
            f"and operations {', '.join(NB101_OPERATIONS)}",
        )

    def format(self, code: Sequence[int]) -> str:
        """Write the rows of the upper triangle and the operations: ``11_1:input,conv3x3-bn-relu,output``."""
        return write_cell(self._cell(code))

    def _cell(self, code: Sequence[int]) -> Cell:
        interior = [v for v in range(1, _OUTPUT) if code[v - 1] >= 0]
        vertices = [0, *interior, _OUTPUT]
        edges = {edge for edge, bit in zip(NB101_EDGES, code[_INTERIOR:], strict=True) if bit == 1}
        matrix = [[int((a, b) in edges) for b in vertices] for a in vertices]
        return Cell(matrix, [NB101_OPERATIONS[code[v - 1]] for v in interior])

    def official_hash(self, code: Sequence[int]) -> str:
        """The name of the class in the official table: 32 hexadecimal digits."""
        return official_hash(self._cell(code))

    def canonical(self, code: Sequence[int]) -> Hashable:
        """The code of the class: isomorphic cells share it. No cells that differ otherwise are merged."""
        return tuple(canonical_codes(_unpack(np.array([code], dtype=np.int16)))[0].tolist())

    def graph(self, code: Sequence[int]) -> Graph:
        """The cell as it is: its operations stand on vertices already."""
        cell = self._cell(code)
        edges = [(i, j) for i, row in enumerate(cell.matrix) for j, bit in enumerate(row) if bit]
        return Graph((0, *(NB101_OPERATIONS.index(o) + 2 for o in cell.operations), 1), tuple(edges))

    def graphs(self, codes: Codes) -> Graphs:
        """``graph`` of many; the codes must be those that the space uses."""
        batch = _unpack(codes)
        nodes = batch.present.sum(1)
        # The output moves behind the last vertex that there is.
        at = np.arange(MAX_VERTICES)
        order = np.where(at == nodes[:, None] - 1, _OUTPUT, np.where(at < nodes[:, None], at, at - 1))
        words = np.full((len(codes), MAX_VERTICES), -1, dtype=np.int16)
        words[:, 0], words[:, -1] = 0, 1
        words[:, 1:-1] = np.where(batch.operations >= 0, batch.operations + 2, -1)
        words = np.take_along_axis(words, order, axis=1)
        return Graphs(nodes.astype(np.int64), words, _permuted(batch.matrices, order))


class Cell(NamedTuple):
    """One cell: a 0-1 matrix, input first and output last, and the operations of those between them."""

    matrix: list[list[int]]
    operations: list[str]


def prune(cell: Cell) -> Cell | None:
    """The cell without vertices off all paths from input to output; None if there is no such path.

    The matrix must be upper triangular, as that of a cell is.
    """
    columns = zip(*cell.matrix, strict=True)
    next(columns)
    if all(map(any, cell.matrix[:-1])) and all(map(any, columns)):
        return cell  # so is nearly every cell of a table
    vertices = range(len(cell.matrix))
    forward, backward = {0}, {vertices[-1]}
    for _ in vertices:
        forward |= {b for a in forward for b in vertices if cell.matrix[a][b]}
        backward |= {a for b in backward for a in vertices if cell.matrix[a][b]}
    if vertices[-1] not in forward:
        return None
    kept = [v for v in vertices if v in forward and v in backward]
    matrix = [[cell.matrix[a][b] for b in kept] for a in kept]
    return Cell(matrix, [cell.operations[v - 1] for v in kept[1:-1]])


def write_cell(cell: Cell) -> str:
    """A cell with an upper triangular matrix as a string that ``NasBench101Space`` reads."""
    rows = ("".join(map(str, row[i + 1 :])) for i, row in enumerate(cell.matrix[:-1]))
    return f"{'_'.join(rows)}:{','.join(['input', *cell.operations, 'output'])}"


def official_hash(cell: Cell) -> str:
    """The name of a cell in the official table, equal for isomorphic cells.

    Ying et al. 2019, appendix B, with the spelling of the authors' ``hash_module``: MD5 of each vertex's
    edges out, edges in and label (-1 the input, -2 the output), then as often as there are vertices MD5 of
    what goes in, what goes out and the vertex itself; at last MD5 of the sorted list.
    """
    labels = [-1, *(NB101_OPERATIONS.index(o) for o in cell.operations), -2]
    vertices, columns = range(len(labels)), list(zip(*cell.matrix, strict=True))
    hashes = [_md5(str((sum(cell.matrix[v]), sum(columns[v]), labels[v]))) for v in vertices]
    for _ in vertices:
        hashes = [
            _md5(
                "".join(sorted(hashes[w] for w in vertices if cell.matrix[w][v]))
                + "|"
                + "".join(sorted(hashes[w] for w in vertices if cell.matrix[v][w]))
                + "|"
                + hashes[v]
            )
            for v in vertices
        ]
    return _md5(str(sorted(hashes)))


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def make_batch(cells: Sequence[Cell]) -> Batch:
    """Pruned cells as arrays."""
    matrices = np.zeros((len(cells), MAX_VERTICES, MAX_VERTICES), dtype=np.uint8)
    operations = np.full((len(cells), _INTERIOR), -1, dtype=np.int16)
    for i, cell in enumerate(cells):
        last = len(cell.operations) + 1
        matrix = np.array(cell.matrix, dtype=np.uint8)
        matrices[i, :last, :last] = matrix[:-1, :-1]
        matrices[i, :last, _OUTPUT] = matrix[:-1, -1]
        operations[i, : last - 1] = [NB101_OPERATIONS.index(o) for o in cell.operations]
    return Batch(matrices, operations)


def canonical_codes(batch: Batch) -> Codes:
    """The code that the space uses for each graph's class, [n, 26]; no vertex may lie off all paths."""
    looks = _looks(batch)
    order = np.argsort(looks, axis=1, kind="stable")
    looks = np.take_along_axis(looks, order, axis=1)
    batch = _reordered(batch, order)
    codes = _pack(batch)
    alike = (looks[:, 1:] == looks[:, :-1]) & (batch.operations[:, 1:] >= 0)
    patterns = alike @ (1 << np.arange(_INTERIOR - 1))
    for pattern in np.unique(patterns[patterns > 0]):
        here = np.flatnonzero(patterns == pattern)
        orders = _orders_within(int(pattern))
        tried = np.stack([_pack(_reordered(batch.rows(here), np.tile(o, (len(here), 1)))) for o in orders])
        smallest = _keys(tried.reshape(-1, tried.shape[2])).reshape(tried.shape[:2]).argmin(0)
        codes[here] = tried[smallest, np.arange(len(here))]
    return codes


@cache
def _orders_within(pattern: int) -> NDArray[np.int64]:
    """Orders of five places that move each only among those it looks like; bit i: i and i + 1 look alike."""
    group = np.concatenate([[0], np.cumsum([not pattern >> i & 1 for i in range(_INTERIOR - 1)])])
    return _ORDERS[(group[_ORDERS] == group).all(1)]


def _looks(batch: Batch) -> NDArray[np.uint64]:
    """A number for each interior vertex that no order of the vertices changes, [n, 5].

    First the longest path from the input, so that sorting by it makes the matrix upper triangular; then a
    hash of the surroundings, in arithmetic modulo 2^64. Absent vertices come last.
    """
    edges = batch.matrices.astype(bool)
    depth = np.zeros(edges.shape[:2], dtype=np.uint64)
    one = np.uint64(1)
    for _ in range(MAX_VERTICES - 1):
        depth = np.where(edges, depth[:, :, None] + one, np.uint64(0)).max(1)
    word = np.zeros(edges.shape[:2], dtype=np.uint64)
    word[:, 1:-1] = batch.operations + 2
    word[:, -1] = 9
    hashed = _mixed(word * np.uint64(64) + depth)
    for _ in range(4):
        before = np.where(edges, hashed[:, :, None], np.uint64(0)).sum(1, dtype=np.uint64)
        behind = np.where(edges, hashed[:, None, :], np.uint64(0)).sum(2, dtype=np.uint64)
        hashed = _mixed(hashed + _mixed(before + one) * np.uint64(3) + _mixed(behind) * np.uint64(5))
    looks = (depth << np.uint64(56)) | (hashed >> np.uint64(8))
    return np.where(batch.operations >= 0, looks[:, 1:-1], np.uint64(2**64 - 1))


def _mixed(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finaliser of SplitMix64 (Steele et al. 2014)."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def _reordered(batch: Batch, order: NDArray[np.int64]) -> Batch:
    """Interior vertices in another order, [n, 5] of 0 to 4."""
    full = np.pad(order + 1, ((0, 0), (1, 1)))
    full[:, -1] = _OUTPUT
    return Batch(_permuted(batch.matrices, full), np.take_along_axis(batch.operations, order, axis=1))


def _permuted(matrices: NDArray[np.uint8], order: NDArray[np.int64]) -> NDArray[np.uint8]:
    rows = np.arange(len(matrices))[:, None, None]
    return matrices[rows, order[:, :, None], order[:, None, :]]


def _pack(batch: Batch) -> Codes:
    """Codes of graphs whose matrix is upper triangular, [n, 26]."""
    present = batch.present
    edges = batch.matrices[:, _FROM, _TO].astype(np.int16)
    edges[~(present[:, _FROM] & present[:, _TO])] = -1
    return np.concatenate([batch.operations, edges], axis=1)


def _unpack(codes: Codes) -> Batch:
    matrices = np.zeros((len(codes), MAX_VERTICES, MAX_VERTICES), dtype=np.uint8)
    matrices[:, _FROM, _TO] = codes[:, _INTERIOR:] == 1
    return Batch(matrices, codes[:, :_INTERIOR].astype(np.int16))


def _keys(codes: Codes) -> NDArray[np.int64]:
    """A number for each code, different for different ones, [n]."""
    return (codes[:, :_INTERIOR] + 1) @ _OPERATION_BITS + (codes[:, _INTERIOR:] == 1) @ _EDGE_BITS


def _edited(batch: Batch) -> tuple[Batch, NDArray[np.int64]]:
    """Every valid edit of every graph, and the row that it comes from; isomorphic ones may repeat.

    With v vertices there are 2 (v - 2) changes of an operation, at most one change of an edge for each of the
    (v - 1)² - (v - 2) ordered pairs, 3 new vertices an edge if v < 7, and v - 2 vertices to take away.
    """
    parts = [*_operation_edits(batch), *_edge_edits(batch), *_vertex_edits(batch)]
    matrices, operations, origin = (np.concatenate(part) for part in zip(*parts, strict=True))
    return Batch(matrices, operations), origin


_Part = tuple[NDArray[np.uint8], NDArray[np.int16], NDArray[np.int64]]


def _operation_edits(batch: Batch) -> Iterable[_Part]:
    for v in range(_INTERIOR):
        rows = np.flatnonzero(batch.operations[:, v] >= 0)
        for step in range(1, len(NB101_OPERATIONS)):
            operations = batch.operations[rows]
            operations[:, v] = (operations[:, v] + step) % len(NB101_OPERATIONS)
            yield batch.matrices[rows], operations, rows


def _edge_edits(batch: Batch) -> Iterable[_Part]:
    matrices, present = batch.matrices, batch.present
    out, into = matrices.sum(2), matrices.sum(1)
    room = matrices.sum((1, 2)) < MAX_EDGES
    reach = matrices > 0
    for _ in range(3):  # paths of up to 2, 4, 8 edges
        reach = reach | (np.matmul(reach.astype(np.uint8), reach.astype(np.uint8)) > 0)
    for a in range(_OUTPUT):
        for b in range(1, MAX_VERTICES):
            if a == b:
                continue
            there = matrices[:, a, b] == 1
            less = there & (out[:, a] > 1) & (into[:, b] > 1)
            more = ~there & room & present[:, a] & present[:, b] & ~reach[:, b, a]
            rows = np.flatnonzero(less | more)
            edited = matrices[rows]
            edited[:, a, b] ^= 1
            yield edited, batch.operations[rows], rows


def _vertex_edits(batch: Batch) -> Iterable[_Part]:
    matrices, present = batch.matrices, batch.present
    room = (matrices.sum((1, 2)) < MAX_EDGES) & ~present[:, 1:-1].all(1)
    for a, b in NB101_EDGES:  # codes in use are upper triangular, with absent vertices behind the others
        rows = np.flatnonzero(room & (matrices[:, a, b] == 1))
        new = present[rows, 1:-1].sum(1) + 1
        edited, here = matrices[rows], np.arange(len(rows))
        edited[:, a, b] = 0
        edited[here, a, new] = 1
        edited[here, new, b] = 1
        for operation in range(len(NB101_OPERATIONS)):
            operations = batch.operations[rows]
            operations[here, new - 1] = operation
            yield edited, operations, rows
    for v in range(1, _OUTPUT):
        single = (matrices[:, v].sum(1) == 1) & (matrices[:, :, v].sum(1) == 1)
        before, behind = matrices[:, :, v].argmax(1), matrices[:, v].argmax(1)
        apart = matrices[np.arange(len(matrices)), before, behind] == 0
        rows = np.flatnonzero(single & apart)
        edited, operations = matrices[rows], batch.operations[rows]
        edited[:, v], edited[:, :, v] = 0, 0
        edited[np.arange(len(rows)), before[rows], behind[rows]] = 1
        operations[:, v - 1] = -1
        yield edited, operations, rows


def _sample_classes(vertices: int, n: int, generator: np.random.Generator) -> Codes:
    """Classes with that many vertices, uniformly, [n, 26].

    Upper triangular matrices and operations are drawn uniformly; a draw is kept if it is the one code that
    the space uses for its class.
    """
    used = np.isin(NB101_EDGES, [*range(vertices - 1), _OUTPUT]).all(1)
    kept = [np.zeros((0, _INTERIOR + len(NB101_EDGES)), dtype=np.int16)]
    while (found := sum(map(len, kept))) < n:
        draws = min(512 * (n - found), 1 << 16)
        codes = np.full((draws, kept[0].shape[1]), -1, dtype=np.int16)
        codes[:, : vertices - 2] = generator.integers(len(NB101_OPERATIONS), size=(draws, vertices - 2))
        codes[:, _INTERIOR:][:, used] = generator.integers(2, size=(draws, int(used.sum())))
        codes = codes[(codes[:, _INTERIOR:] == 1).sum(1) <= MAX_EDGES]
        batch = _unpack(codes)
        out = batch.matrices[:, :-1].any(2) | ~batch.present[:, :-1]
        into = batch.matrices[:, :, 1:].any(1) | ~batch.present[:, 1:]
        codes = codes[out.all(1) & into.all(1)]
        kept.append(codes[(canonical_codes(_unpack(codes)) == codes).all(1)])
    return np.concatenate(kept)[:n]
