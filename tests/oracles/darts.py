"""DARTS cells, slowly: neighbours by trying every code, and functions by trying every way to give weights."""

from __future__ import annotations

import itertools
import math
from functools import cache

EDGES = [(start, end) for end in (2, 3, 4, 5) for start in range(end)]
POINTS = ((0.37, -1.21), (-0.83, 0.52))
NONE, MAX, AVG, SKIP = 0, 1, 2, 3


def node_slots() -> list[list[int]]:
    """Slots of each of the eight nodes."""
    slots = [(cell, end) for cell in (0, 1) for _, end in EDGES]
    return [[s for s, at in enumerate(slots) if at == node] for node in sorted(set(slots))]


@cache
def node_fillings(slots: int) -> list[tuple[int, ...]]:
    """Every way to choose two of a node's inputs and an operation for each."""
    return [f for f in itertools.product(range(8), repeat=slots) if f.count(0) == slots - 2]


def one_edit(one: tuple[int, ...], two: tuple[int, ...]) -> bool:
    """Whether two fillings of a node differ by an operation, or by one edge's input."""
    places = [({i for i, v in enumerate(f) if v}) for f in (one, two)]
    if places[0] == places[1]:
        return sum(a != b for a, b in zip(one, two, strict=True)) == 1
    stay = places[0] & places[1]
    return (
        len(stay) == 1
        and all(one[i] == two[i] for i in stay)
        and one[(places[0] - stay).pop()] == two[(places[1] - stay).pop()]
    )


def neighbours(code: tuple[int, ...]) -> set[tuple[int, ...]]:
    """All codes with one edited node."""
    found = set()
    for slots in node_slots():
        present = tuple(code[s] for s in slots)
        for filling in node_fillings(len(slots)):
            if one_edit(present, filling):
                edited = list(code)
                for s, value in zip(slots, filling, strict=True):
                    edited[s] = value
                found.add(tuple(edited))
    return found


def weighted(code: tuple[int, ...], reduction: bool) -> list[int]:
    """Edges with weights: convolutions, and in a reduction cell the identity of an input."""
    return [
        e
        for e, operation in enumerate(code)
        if operation > SKIP or (operation == SKIP and reduction and EDGES[e][0] < 2)
    ]


def outputs(code: tuple[int, ...], weights: dict[int, float]) -> list[tuple[float, ...]]:
    """The four nodes as functions, read off at two points, each operation a curve of its own; sorted."""
    columns = []
    for point in POINTS:
        nodes = list(point)
        for end in (2, 3, 4, 5):
            total = 0.0
            for e, (start, stop) in enumerate(EDGES):
                if stop == end and code[e] != NONE:
                    x = nodes[start]
                    if e in weights:
                        total += (1 + 0.1 * code[e]) * math.sin(weights[e] * x + 0.3 * code[e])
                    else:
                        total += {MAX: math.exp(-x * x), AVG: x * x / 3, SKIP: x}[code[e]]
            nodes.append(total)
        columns.append(nodes[2:])
    return sorted(zip(*columns, strict=True))


def same_function(one: tuple[int, ...], two: tuple[int, ...], reduction: bool) -> bool:
    """Some way to give one's edges the weights of two's makes the same four nodes, in some order."""
    edges_one, edges_two = weighted(one, reduction), weighted(two, reduction)
    if sorted(one[e] for e in edges_one) != sorted(two[e] for e in edges_two):
        return False
    values = [0.9 + 0.31 * i + 0.07 * i * i for i in range(len(edges_two))]
    wanted = outputs(two, dict(zip(edges_two, values, strict=True)))
    for order in itertools.permutations(range(len(values))):
        if all(one[a] == two[edges_two[i]] for a, i in zip(edges_one, order, strict=True)):
            got = outputs(one, {a: values[i] for a, i in zip(edges_one, order, strict=True)})
            if all(math.dist(g, w) < 1e-9 for g, w in zip(got, wanted, strict=True)):
                return True
    return False
