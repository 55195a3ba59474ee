"""Cells of NAS-Bench-101, slowly: keys by trying every order, edits one by one on sets of edges."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

CONV3, CONV1, POOL = "conv3x3-bn-relu", "conv1x1-bn-relu", "maxpool3x3"
OPERATIONS = (CONV3, CONV1, POOL)
Cell = tuple[
    tuple[str, ...], frozenset[tuple[int, int]]
]  # interior operations; 0 is the input, the last the output


def from_text(text: str) -> Cell:
    rows, operations = text.split(":")
    edges = {
        (i, i + 1 + j) for i, row in enumerate(rows.split("_")) for j, bit in enumerate(row) if bit == "1"
    }
    return tuple(operations.split(",")[1:-1]), frozenset(edges)


def key(cell: Cell) -> tuple[tuple[str, ...], tuple[tuple[int, int], ...]]:
    """The smallest of all orders of the interior vertices."""
    operations, edges = cell
    n = len(operations)
    best = None
    for order in itertools.permutations(range(1, n + 1)):
        name = {0: 0, n + 1: n + 1} | {old: new for new, old in enumerate(order, 1)}
        spelled = (
            tuple(operations[old - 1] for old in order),
            tuple(sorted((name[a], name[b]) for a, b in edges)),
        )
        best = spelled if best is None or spelled < best else best
    assert best is not None
    return best


def valid(cell: Cell) -> bool:
    """At most seven vertices and nine edges, no cycle, every vertex on a path from input to output."""
    operations, edges = cell
    last = len(operations) + 1
    if last > 6 or len(edges) > 9:
        return False

    def paths(vertex: int, passed: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
        if vertex in passed:
            raise RecursionError
        if vertex == last:
            yield (*passed, vertex)
        for a, b in edges:
            if a == vertex:
                yield from paths(b, (*passed, vertex))

    try:
        on_path = {v for path in paths(0, ()) for v in path}
        for v in range(1, last):
            list(paths(v, ()))
    except RecursionError:
        return False
    return on_path == set(range(last + 1))


def neighbours(cell: Cell) -> set[object]:
    """Keys of all cells one edit away."""
    operations, edges = cell
    n = len(operations)
    last = n + 1
    edited: list[Cell] = []
    for v, operation in itertools.product(range(n), OPERATIONS):
        edited.append(((*operations[:v], operation, *operations[v + 1 :]), edges))
    for a, b in itertools.product(range(last + 1), repeat=2):
        if a != b and a != last and b != 0:
            edited.append((operations, edges ^ {(a, b)}))
    for (a, b), operation in itertools.product(edges, OPERATIONS):
        moved = {(x + (x == last), y + (y == last)) for x, y in edges - {(a, b)}}
        a, b = a + (a == last), b + (b == last)
        edited.append(((*operations, operation), frozenset(moved | {(a, last), (last, b)})))
    for v in range(1, last):
        before, behind = [a for a, b in edges if b == v], [b for a, b in edges if a == v]
        if len(before) == len(behind) == 1 and (before[0], behind[0]) not in edges:
            rest = {e for e in edges if v not in e} | {(before[0], behind[0])}
            shorter = frozenset((a - (a > v), b - (b > v)) for a, b in rest)
            edited.append(((*operations[: v - 1], *operations[v:]), shorter))
    return {key(other) for other in edited if valid(other)} - {key(cell)}


def all_classes(vertices: int) -> set[object]:
    """Keys of every class with that many vertices."""
    pairs = list(itertools.combinations(range(vertices), 2))
    found: set[object] = set()
    for bits in itertools.product((0, 1), repeat=len(pairs)):
        edges = frozenset(pair for pair, bit in zip(pairs, bits, strict=True) if bit)
        for operations in itertools.product(OPERATIONS, repeat=vertices - 2):
            if not valid((operations, edges)):
                break
            found.add(key((operations, edges)))
    return found
