"""Layouts of random graphs: downwards, nothing on top of anything, as near to the neighbours as can be."""

from __future__ import annotations

from itertools import combinations, pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from archwalk.drawing.layout import GAP, _spread, crossings, make_layout

Graph = tuple[int, list[tuple[int, int]], list[float]]


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    n = draw(st.integers(0, 14))
    pairs = list(combinations(range(n), 2))
    edges = sorted(draw(st.sets(st.sampled_from(pairs), max_size=24))) if pairs else []
    order = draw(st.permutations(range(n)))  # edges need not lead to later numbers
    renamed = [(order[a], order[b]) for a, b in edges]
    return n, renamed, [float(draw(st.integers(10, 120))) for _ in range(n)]


@given(graphs())
@settings(max_examples=60, deadline=None)
def test_nothing_overlaps_and_every_edge_leads_down(graph: Graph) -> None:
    n, edges, widths = graph
    layout = make_layout(n, edges, widths)
    assert len(layout.layer) == len(layout.x) == n
    assert set(layout.routes) == set(edges)
    taken: dict[int, list[tuple[float, float]]] = {}
    for node in range(n):
        taken.setdefault(layout.layer[node], []).append((layout.x[node], widths[node]))
    for (a, b), route in layout.routes.items():
        assert len(route) == layout.layer[b] - layout.layer[a] - 1 >= 0
        for step, x in enumerate(route):
            taken[layout.layer[a] + 1 + step].append((x, 8.0))
    for row in taken.values():
        for (x, width), (other, wider) in pairwise(sorted(row)):
            assert other - x >= (width + wider) / 2 + GAP - 1e-6
        for x, width in row:
            assert x - width / 2 >= -1e-6
            assert x + width / 2 <= layout.width + 1e-6
    for node in range(n):  # no layer is left out
        before = [layout.layer[a] for a, b in edges if b == node]
        assert layout.layer[node] == max(before, default=-1) + 1


@given(
    st.lists(st.tuples(st.integers(-50, 50), st.integers(1, 40), st.integers(1, 9)), min_size=1, max_size=5)
)
@settings(max_examples=40, deadline=None)
def test_places_are_the_nearest_to_those_wanted(given: list[tuple[int, int, int]]) -> None:
    wanted, widths, weights = (np.array(part, dtype=np.float64) for part in zip(*given, strict=True))
    x = _spread(wanted, widths, weights)
    apart = (widths[1:] + widths[:-1]) / 2 + GAP
    assert np.all(np.diff(x) >= apart - 1e-9)
    cost = (weights * (x - wanted) ** 2).sum()
    g = np.random.default_rng(0)
    for size in (0.01, 0.3, 5.0):
        for _ in range(40):  # the cost is convex: if no feasible step lowers it, it is the least
            other = x + size * g.standard_normal(len(x))
            for i in range(1, len(x)):
                other[i] = max(other[i], other[i - 1] + apart[i - 1])
            assert (weights * (other - wanted) ** 2).sum() >= cost - 1e-9


@given(st.integers(1, 5), st.integers(1, 5), st.data())
@settings(max_examples=40, deadline=None)
def test_crossings_are_counted(n: int, m: int, data: st.DataObject) -> None:
    pairs = [(a, n + b) for a in range(n) for b in range(m)]
    links = sorted(data.draw(st.sets(st.sampled_from(pairs))))
    rows = [data.draw(st.permutations(range(n))), data.draw(st.permutations(range(n, n + m)))]
    slow = sum(
        (rows[0].index(a) - rows[0].index(c)) * (rows[1].index(b) - rows[1].index(d)) < 0
        for (a, b), (c, d) in combinations(links, 2)
    )
    assert crossings(rows, links) == slow


def test_a_crossing_that_need_not_be_is_taken_away() -> None:
    edges = [(0, 3), (1, 2), (0, 4), (1, 5)]
    layout = make_layout(6, edges, [30.0] * 6)
    rows = [
        sorted((n for n in range(6) if layout.layer[n] == at), key=lambda n: layout.x[n]) for at in (0, 1)
    ]
    assert crossings(rows, edges) == 0
