"""A place for every node of a small directed graph without cycles, in layers from top to bottom.

In: the number of nodes, edges, widths. Out: ``Layout``. The method is that of Sugiyama, Tagawa and Toda
(1981): layers by the longest path, places within a layer by the mean of the neighbours', and coordinates that
are as near to the mean of the neighbours as the widths allow. Next: ``scene``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Edge = tuple[int, int]
_SWEEPS = 12
_PULLS = (1.0, 2.0, 40.0)  # of a link with none, one or both of its ends on a thread
GAP = 18.0  # between two nodes of a layer
_THREAD = 8.0  # width of an edge that passes a layer


@dataclass(frozen=True)
class Layout:
    """Places.

    Attributes:
        layer: of each node, from 0.
        x: centre of each node, from 0 on the left.
        routes: edge → the x at which it passes each layer between its ends.
        width: of the whole.
    """

    layer: tuple[int, ...]
    x: tuple[float, ...]
    routes: dict[Edge, tuple[float, ...]]
    width: float

    @property
    def layers(self) -> int:
        """How many."""
        return max(self.layer, default=-1) + 1


def make_layout(nodes: int, edges: Sequence[Edge], widths: Sequence[float]) -> Layout:
    """Places for a graph.

    Args:
        nodes: how many, each behind those that lead to it.
        edges: (from, to) with from < to in some order of the nodes.
        widths: of the nodes.
    """
    layer = _layers(nodes, edges)
    all_layers, all_widths = list(layer), [float(w) for w in widths]
    links: list[Edge] = []
    threads: dict[Edge, list[int]] = {}
    for a, b in edges:
        chain = list(range(len(all_layers), len(all_layers) + layer[b] - layer[a] - 1))
        threads[a, b] = chain
        all_layers += range(layer[a] + 1, layer[b])
        all_widths += [_THREAD] * len(chain)
        links += zip([a, *chain], [*chain, b], strict=True)
    rows: list[list[int]] = [[] for _ in range(max(all_layers, default=-1) + 1)]
    for node, at in enumerate(all_layers):
        rows[at].append(node)
    rows = _ordered(rows, links)
    # Threads should be straight, most of all where they pass others (Gansner et al. 1993, section 4).
    pulls = [_PULLS[(a >= nodes) + (b >= nodes)] for a, b in links]
    x = _coordinates(rows, links, pulls, np.array(all_widths))
    half = np.array(all_widths) / 2
    left = float((x - half).min(initial=0.0)) if len(x) else 0.0
    x = x - left
    return Layout(
        tuple(layer),
        tuple(float(v) for v in x[:nodes]),
        {edge: tuple(float(x[t]) for t in chain) for edge, chain in threads.items()},
        float((x + half).max(initial=0.0)),
    )


def _layers(nodes: int, edges: Sequence[Edge]) -> list[int]:
    """The longest path to each node."""
    layer = [0] * nodes
    for _ in range(nodes):
        before = list(layer)
        for a, b in edges:
            layer[b] = max(layer[b], layer[a] + 1)
        if layer == before:
            break
    return layer


def _ordered(rows: list[list[int]], links: Sequence[Edge]) -> list[list[int]]:
    """The order of each layer with the fewest crossings that sweeps and exchanges find."""
    best, least = [list(row) for row in rows], crossings(rows, links)
    rows = [list(row) for row in rows]
    for sweep in range(_SWEEPS):
        down = sweep % 2 == 0
        for i in range(1, len(rows)) if down else range(len(rows) - 2, -1, -1):
            place = {node: p for p, node in enumerate(rows[i - 1 if down else i + 1])}
            pairs = [(b, a) if down else (a, b) for a, b in links]
            means = {}
            for at, node in enumerate(rows[i]):
                around = [place[other] for here, other in pairs if here == node and other in place]
                means[node] = sum(around) / len(around) if around else float(at)
            rows[i].sort(key=lambda node: means[node])
        count = crossings(rows, links)
        if count < least:
            best, least = [list(row) for row in rows], count
    return _exchanged(best, links, least)


def _exchanged(rows: list[list[int]], links: Sequence[Edge], least: int) -> list[list[int]]:
    """Neighbours in a layer change places as long as that takes crossings away."""
    improved = least > 0
    while improved:
        improved = False
        for row in rows:
            for i in range(len(row) - 1):
                row[i], row[i + 1] = row[i + 1], row[i]
                count = crossings(rows, links)
                if count < least:
                    least, improved = count, True
                else:
                    row[i], row[i + 1] = row[i + 1], row[i]
    return rows


def crossings(rows: Sequence[Sequence[int]], links: Sequence[Edge]) -> int:
    """How often links between neighbouring layers cross."""
    place = {node: (at, p) for at, row in enumerate(rows) for p, node in enumerate(row)}
    count = 0
    for at in range(len(rows) - 1):
        here = np.array([(place[a][1], place[b][1]) for a, b in links if place[a][0] == at]).reshape(-1, 2)
        apart = np.sign(here[:, None] - here[None])
        count += int((apart[..., 0] * apart[..., 1] < 0).sum()) // 2
    return count


def _coordinates(
    rows: Sequence[Sequence[int]],
    links: Sequence[Edge],
    pulls: Sequence[float],
    widths: NDArray[np.float64],
) -> NDArray[np.float64]:
    """The centre of each node, in the given order of each layer: the sum over the links of their pull times
    the square of how far they lean is made small, layer by layer."""
    x = np.zeros(len(widths))
    for row in rows:
        x[list(row)] = _spread(np.zeros(len(row)), widths[list(row)], np.ones(len(row)))
    around = np.zeros((len(widths), len(widths)))
    for (a, b), pull in zip(links, pulls, strict=True):
        around[a, b] = around[b, a] = pull
    total = around.sum(1)
    for sweep in range(4 * _SWEEPS):
        for row in rows if sweep % 2 == 0 else reversed(rows):
            here = list(row)
            weights = np.where(total[here] > 0, total[here], 1.0)
            wanted = np.where(total[here] > 0, around[here] @ x / weights, x[here])
            x[here] = _spread(wanted, widths[here], weights)
    return x


def _spread(
    wanted: NDArray[np.float64], widths: NDArray[np.float64], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Places in order, far enough apart, with the least weighted sum of squares to those wanted.

    Without the distances it is isotonic regression, by pooling adjacent violators.
    """
    offsets = np.concatenate([[0.0], np.cumsum((widths[1:] + widths[:-1]) / 2 + GAP)])
    blocks: list[tuple[float, float, int]] = []  # mean, weight, size
    for value, weight in zip(wanted - offsets, weights, strict=True):
        mean, total, size = float(value), float(weight), 1
        while blocks and blocks[-1][0] > mean:
            other, more, count = blocks.pop()
            mean, total, size = (mean * total + other * more) / (total + more), total + more, size + count
        blocks.append((mean, total, size))
    return np.repeat([b[0] for b in blocks], [b[2] for b in blocks]) + offsets if blocks else offsets[:0]
