"""``Picture``: what there is to draw of an architecture, before anything has a place.

In: a space and a code. Out: parts, each a graph or a table of choices, and sentences for those who cannot see
them. Next: ``scene`` gives everything a place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from archwalk.drawing.palette import colours_of
from archwalk.spaces.base import SearchSpace
from archwalk.spaces.cells import EDGES, CellSpace
from archwalk.spaces.correspondence import slots_of, whole_of
from archwalk.spaces.darts import CELLS, DARTS_EDGES, DARTS_OPERATIONS, NODES, DartsSpace
from archwalk.spaces.declared import DeclaredSpace

Kind = Literal["end", "sum", "operation"]


@dataclass(frozen=True)
class Node:
    """A node of a graph.

    Attributes:
        label: an operation's name, or what else stands in it.
        kind: ``end``: input or output; ``sum``: where edges meet; ``operation``.
        colour: of an operation, as ``#rrggbb``.
        live: whether a signal passes from input to output through it.
    """

    label: str
    kind: Kind
    colour: str = ""
    live: bool = True


@dataclass(frozen=True)
class GraphPart:
    """A directed graph without cycles.

    Attributes:
        title: where there are several; else empty.
        nodes: any order in which each stands behind those that it reads.
        edges: (from, to), positions in ``nodes``.
    """

    title: str
    nodes: tuple[Node, ...]
    edges: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Row:
    """A slot: its name, its choices, the position of the one taken (None: the slot is absent), and under
    which condition it exists (empty: always)."""

    slot: str
    choices: tuple[str, ...]
    taken: int | None
    when: str = ""


@dataclass(frozen=True)
class TablePart:
    """A table of choices, a row a slot."""

    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Picture:
    """All there is to draw.

    Attributes:
        title: of the whole, for screen readers.
        architecture: its string.
        text: the same in words, for screen readers.
        parts: side by side.
        legend: operation → colour, of those that occur.
    """

    title: str
    architecture: str
    text: str
    parts: tuple[GraphPart | TablePart, ...]
    legend: dict[str, str]


def picture_of(space: SearchSpace, code: Sequence[int]) -> Picture:
    """What there is to draw of an architecture.

    Cells whose operations stand on edges (NAS-Bench-201, TransNAS-Bench-101, DARTS) get a node an operation
    between the nodes that sum; a space of named slots gets a table; any other the graph that it says itself.

    Args:
        space: any; of a measured subset or a listing, the whole is drawn.
        code: of one architecture.
    """
    whole, code = whole_of(space), tuple(code)
    parts: tuple[GraphPart | TablePart, ...]
    if isinstance(whole, CellSpace):
        parts = (_cell(whole, code),)
    elif isinstance(whole, DartsSpace):
        half = len(DARTS_EDGES)
        parts = tuple(_darts_cell(name, code[i * half : (i + 1) * half]) for i, name in enumerate(CELLS))
    elif slots_of(whole) is not None:
        parts = (_table(whole, code),)
    else:
        parts = (_graph(whole, code),)
    used = {n.label: n.colour for p in parts if isinstance(p, GraphPart) for n in p.nodes if n.colour}
    text = whole.format(code)
    words = " ".join(_words(part) for part in parts)
    return Picture(f"Architecture of the space {whole.name}", text, f"{text}. {words}", parts, used)


def _cell(space: CellSpace, code: Sequence[int]) -> GraphPart:
    colours, live = colours_of(space.operations), space.live_edges(code)
    sums = [Node("input", "end"), Node("1", "sum"), Node("2", "sum"), Node("output", "end")]
    reached = {0, 3} | {end for e in live for end in EDGES[e]}
    sums = [Node(n.label, n.kind, live=i in reached) for i, n in enumerate(sums)]
    terms = [
        (a, space.operations[o], b, e in live) for e, ((a, b), o) in enumerate(zip(EDGES, code, strict=True))
    ]
    return _of_terms("", sums, terms, colours, [])


def _darts_cell(name: str, code: Sequence[int]) -> GraphPart:
    colours = colours_of(DARTS_OPERATIONS)
    sums = [Node("cell k−2", "end"), Node("cell k−1", "end"), *(Node(str(n), "sum") for n in NODES)]
    sums.append(Node("cell k", "end"))
    terms = [(a, DARTS_OPERATIONS[o], b, True) for (a, b), o in zip(DARTS_EDGES, code, strict=True) if o]
    title = {"normal": "normal cell", "reduce": "reduction cell"}[name]
    return _of_terms(title, sums, terms, colours, [(n, len(sums) - 1) for n in NODES])


def _of_terms(
    title: str,
    sums: Sequence[Node],
    terms: Sequence[tuple[int, str, int, bool]],
    colours: dict[str, str],
    plain: Sequence[tuple[int, int]],
) -> GraphPart:
    """Nodes that sum, and between them a node an operation: (from, operation, to, whether it is live).

    Its nodes: ``sums`` in their order, then the operations in theirs; ``plain`` edges lead from sum to sum.
    """
    nodes, edges = list(sums), list(plain)
    for a, operation, b, live in terms:
        edges += [(a, len(nodes)), (len(nodes), b)]
        nodes.append(Node(operation, "operation", colours[operation], live))
    return GraphPart(title, tuple(nodes), tuple(edges))


def _graph(space: SearchSpace, code: Sequence[int]) -> GraphPart:
    graph, words = space.graph(code), space.vocabulary
    colours = colours_of(words[2:])
    nodes = [
        Node(words[o], "end") if o < 2 else Node(words[o], "operation", colours[words[o]])
        for o in graph.operations
    ]
    return GraphPart("", tuple(nodes), graph.edges)


def _table(space: SearchSpace, code: Sequence[int]) -> TablePart:
    slots = slots_of(space) or {}
    rows = []
    for s, (slot, choices) in enumerate(slots.items()):
        when = ""
        if isinstance(space, DeclaredSpace) and space.declaration.when[s]:
            when = space.declaration.words(space.declaration.when[s])
        rows.append(Row(slot, choices, None if code[s] < 0 else code[s], when))
    return TablePart(tuple(rows))


def _words(part: GraphPart | TablePart) -> str:
    if isinstance(part, TablePart):
        said = [f"{r.slot}: {'absent' if r.taken is None else r.choices[r.taken]}" for r in part.rows]
        return f"{'; '.join(said)}."
    said = []
    for i, node in enumerate(part.nodes):
        if node.kind == "operation":
            reads = [part.nodes[a].label for a, b in part.edges if b == i]
            feeds = [part.nodes[b].label for a, b in part.edges if a == i]
            passes = "" if node.live else ", without effect"
            said.append(f"{node.label} from {' and '.join(reads)} to {' and '.join(feeds)}{passes}")
    return f"{part.title}{': ' if part.title else ''}{'; '.join(said)}."
