"""``Scene``: rectangles, curves and texts with places and sizes, whatever they are written as.

In: a ``Picture``. Out: shapes in pixels, y downwards. Next: ``svg`` and ``png`` write them.

Colours are ``#rrggbb`` or one of the names in ``svg.THEMES``, which differ between light and dark.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from archwalk.drawing.layout import make_layout
from archwalk.drawing.palette import ink_on
from archwalk.drawing.picture import GraphPart, Node, Picture, Row, TablePart

FONT = 12.0  # pixels
MARGIN = 16.0
_CHARACTER = 0.605  # width of a monospaced character, in font sizes
_BOX, _PITCH = 26.0, 48.0  # height of a node; from layer to layer
_BETWEEN = 40.0  # from part to part
_ROW = 30.0  # of a table
_MOST_CHIPS = 560.0  # pixels of choices side by side; more become a position on a line
_LONGEST = 26  # characters of a label
_MOST_ROWS = 16  # of a table's column
_PAGE = 960.0  # pixels that parts may take side by side


@dataclass(frozen=True)
class Box:
    """A rectangle with its upper left corner at (x, y)."""

    x: float
    y: float
    width: float
    height: float
    fill: str
    stroke: str
    radius: float = 6.0
    dashed: bool = False


@dataclass(frozen=True)
class Curve:
    """A line through points, upright at each of them, or straight; perhaps with an arrow's head."""

    points: tuple[tuple[float, float], ...]
    stroke: str
    arrow: bool = False
    dashed: bool = False
    width: float = 1.4
    straight: bool = False


@dataclass(frozen=True)
class Text:
    """One line, vertically centred at y."""

    x: float
    y: float
    text: str
    fill: str = "ink"
    anchor: str = "middle"  # start, middle or end
    size: float = FONT
    bold: bool = False


Shape = Box | Curve | Text


@dataclass(frozen=True)
class Group:
    """Shapes that belong together.

    Attributes:
        shapes: what is drawn.
        title: the full name, which a mouse over it shows.
        data: what it stands for, as ``data-…`` attributes.
    """

    shapes: tuple[Shape, ...]
    title: str = ""
    data: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Scene:
    """A whole picture: title and words for screen readers, and groups in the order of painting."""

    width: float
    height: float
    title: str
    text: str
    groups: tuple[Group, ...]


@dataclass(frozen=True)
class _Block:
    """Groups that stand together, their upper left corner at the origin, and how large they are."""

    groups: list[Group]
    width: float
    height: float


def text_width(text: str, size: float = FONT) -> float:
    """Pixels of a monospaced text; wide characters count twice."""
    cells = sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)
    return cells * size * _CHARACTER


def shortened(text: str, most: int = _LONGEST) -> str:
    """A text of at most so many characters: its beginning and its end."""
    if len(text) <= most:
        return text
    tail = (most - 1) // 3
    return f"{text[: most - 1 - tail]}…{text[len(text) - tail :]}"


def make_scene(picture: Picture) -> Scene:
    """Everything in its place: the architecture's string, its parts, the legend.

    Parts stand side by side, or below each other where that would be wider than a page.
    """
    blocks: list[_Block] = []
    for number, part in enumerate(picture.parts):
        blocks += _table(part) if isinstance(part, TablePart) else [_graph(part, str(number))]
    beside = sum(b.width for b in blocks) + _BETWEEN * (len(blocks) - 1) <= _PAGE
    if beside:
        inner = sum(b.width for b in blocks) + _BETWEEN * (len(blocks) - 1)
    else:
        inner = max(b.width for b in blocks)
    inner = max(inner, 260.0)
    lines = _heading(picture, inner)
    groups = [
        Group((Text(MARGIN, MARGIN + 4 + 16 * i, line, "soft", "start"),), picture.architecture)
        for i, line in enumerate(lines)
    ]
    top = MARGIN + 8 + 16 * len(lines)
    x = MARGIN + (
        0.0 if any(isinstance(p, TablePart) for p in picture.parts) else _left_over(blocks, inner, beside)
    )
    y = bottom = top
    for block in blocks:
        left = x if beside else MARGIN + (inner - block.width) / 2
        groups += [_moved(group, left, y) for group in block.groups]
        bottom = max(bottom, y + block.height)
        if beside:
            x += block.width + _BETWEEN
        else:
            y = bottom + _BETWEEN / 2
    made, height = _legend(picture, bottom + 14, inner + 2 * MARGIN)
    whole = bottom + 14 + height + MARGIN - 6
    return Scene(inner + 2 * MARGIN, whole, picture.title, picture.text, tuple(groups + made))


def _left_over(blocks: Sequence[_Block], inner: float, beside: bool) -> float:
    """What stands free on the left where blocks side by side are narrower than the page."""
    return (inner - sum(b.width for b in blocks) - _BETWEEN * (len(blocks) - 1)) / 2 if beside else 0.0


def _heading(picture: Picture, width: float) -> list[str]:
    """The architecture's string in up to two lines; the space's name where it would need more."""
    fits = int(width / (FONT * _CHARACTER))
    text = picture.architecture
    if len(text) > 2 * fits:
        return [shortened(picture.title, fits)]
    return [text[i : i + fits] for i in range(0, len(text), fits)] or [""]


def _moved(group: Group, right: float, down: float) -> Group:
    """A group, so many pixels to the right and down."""
    moved: list[Shape] = []
    for shape in group.shapes:
        if isinstance(shape, Curve):
            moved.append(replace(shape, points=tuple((x + right, y + down) for x, y in shape.points)))
        else:
            moved.append(replace(shape, x=shape.x + right, y=shape.y + down))
    return replace(group, shapes=tuple(moved))


def _graph(part: GraphPart, name: str) -> _Block:
    """A graph, its upper left corner at the origin."""
    labels = [shortened(node.label) for node in part.nodes]
    widths = [max(text_width(label) + 20, _BOX) for label in labels]
    layout = make_layout(len(labels), part.edges, widths)
    top = 26.0 if part.title else 0.0
    width = max(layout.width, text_width(part.title, 13.0))
    left = (width - layout.width) / 2
    groups: list[Group] = []
    if part.title:
        groups.append(Group((Text(width / 2, 8, part.title, "ink", "middle", 13.0, True),)))

    def y(layer: int) -> float:
        return top + layer * _PITCH

    for a, b in part.edges:
        live = part.nodes[a].live and part.nodes[b].live
        points = [(left + layout.x[a], y(layout.layer[a]) + _BOX)]
        for step, x in enumerate(layout.routes[a, b]):
            at = y(layout.layer[a] + 1 + step)
            points += [(left + x, at), (left + x, at + _BOX)]
        points.append((left + layout.x[b], y(layout.layer[b]) - 1))
        # An operation between two sums has one arrow's head, behind it.
        arrow = part.nodes[b].kind != "operation" or _plain(part)
        curve = Curve(tuple(points), "line" if live else "faint", arrow, dashed=not live)
        groups.append(Group((curve,), data={"part": name, "edge": f"{a} {b}"}))
    for i, (node, label) in enumerate(zip(part.nodes, labels, strict=True)):
        x, at = left + layout.x[i], y(layout.layer[i])
        fill, stroke, ink = _colours(node)
        radius = 6.0 if node.kind == "operation" else _BOX / 2
        box = Box(x - widths[i] / 2, at, widths[i], _BOX, fill, stroke, radius, not node.live)
        data = {"part": name, "node": str(i), "kind": node.kind, "label": node.label}
        groups.append(Group((box, Text(x, at + _BOX / 2, label, ink)), node.label, data))
    return _Block(groups, width, top + (layout.layers - 1) * _PITCH + _BOX)


def _colours(node: Node) -> tuple[str, str, str]:
    """Of a node: what fills it, its frame, its text."""
    if not node.live:
        return "paper", node.colour or "faint", "soft"
    if node.colour:
        return node.colour, "line", ink_on(node.colour)
    return ("tint" if node.kind == "end" else "paper"), "line", "ink"


def _plain(part: GraphPart) -> bool:
    """Whether operations stand on the graph's own nodes, so that edges lead from one to the next."""
    return not any(node.kind == "sum" for node in part.nodes)


def _table(part: TablePart) -> list[_Block]:
    """A table of choices in columns, each with its upper left corner at the origin."""
    wanted = -(-len(part.rows) // _MOST_ROWS)
    fit = int((_PAGE + _BETWEEN) // (_column(part.rows).width + _BETWEEN))
    columns = max(min(wanted, fit), 1)
    each = -(-len(part.rows) // columns)
    return [_column(part.rows[i : i + each]) for i in range(0, len(part.rows), each)]


def _column(rows: Sequence[Row]) -> _Block:
    names = [shortened(row.slot) for row in rows]
    first = max(map(text_width, names)) + 22
    groups, width = [], 0.0
    for i, (row, name) in enumerate(zip(rows, names, strict=True)):
        y = i * _ROW + _ROW / 2
        shapes: list[Shape] = [Text(0, y, name, "soft" if row.taken is None else "ink", "start")]
        if row.taken is None:
            said = shortened(f"absent{f', only with {row.when}' if row.when else ''}", 60)
            shapes.append(Text(first, y, said, "soft", "start"))
            end = first + text_width(said)
        else:
            more, end = _choices(row, row.taken, first, y)
            shapes += more
        width = max(width, end)
        taken = "" if row.taken is None else row.choices[row.taken]
        data = {"slot": row.slot, "choice": taken, "absent": str(row.taken is None).lower()}
        groups.append(Group(tuple(shapes), f"{row.slot}: {taken or 'absent'}", data))
    lines = [
        Group((Curve(((0, i * _ROW), (width, i * _ROW)), "faint", width=0.6),)) for i in range(1, len(rows))
    ]
    return _Block(lines + groups, width, len(rows) * _ROW)


def _choices(row: Row, taken: int, left: float, y: float) -> tuple[list[Shape], float]:
    """The choices of a slot side by side, that which was taken marked; where they are too many, the one that
    was taken and its place among them."""
    labels = [shortened(choice, 20) for choice in row.choices]
    widths = [text_width(label) + 14 for label in labels]
    if sum(widths) + 6 * len(widths) <= _MOST_CHIPS:
        shapes: list[Shape] = []
        for v, (label, width) in enumerate(zip(labels, widths, strict=True)):
            shapes += _chip(label, left, y, width, v == taken)
            left += width + 6
        return shapes, left - 6
    shapes = _chip(labels[taken], left, y, widths[taken], True)
    left += widths[taken] + 14
    said = f"{taken + 1} of {len(labels)}"
    first, last = (shortened(row.choices[i], 12) for i in (0, -1))
    shapes.append(Text(left, y, first, "soft", "start"))
    left += text_width(first) + 8
    length = 160.0
    at = left + length * taken / max(len(labels) - 1, 1)
    shapes.append(Curve(((left, y), (left + length, y)), "faint", width=2.0))
    shapes.append(Box(at - 5, y - 5, 10, 10, "chosen", "chosen", 5.0))
    left += length + 8
    tail = f"{last}  ({said})"
    shapes.append(Text(left, y, tail, "soft", "start"))
    return shapes, left + text_width(tail)


def _chip(label: str, left: float, y: float, width: float, taken: bool) -> list[Shape]:
    box = Box(left, y - 11, width, 22, "chosen" if taken else "paper", "chosen" if taken else "faint", 5.0)
    return [box, Text(left + width / 2, y, label, "on-chosen" if taken else "soft", bold=taken)]


def _legend(picture: Picture, top: float, width: float) -> tuple[list[Group], float]:
    """What colours mean, in as many lines as are needed; and their height."""
    entries = [(name, colour, "line", False) for name, colour in picture.legend.items()]
    graphs = [part for part in picture.parts if isinstance(part, GraphPart)]
    if any(not node.live for part in graphs for node in part.nodes):
        entries.append(("no signal passes", "paper", "soft", True))
    if not graphs:
        entries = [("chosen", "chosen", "chosen", False), ("other choices", "paper", "faint", False)]
    groups, x, y = [], MARGIN, top + 10
    for name, fill, stroke, dashed in entries:
        label = shortened(name)
        needed = 18 + text_width(label, 11) + 18
        if x + needed > width - MARGIN + 18 and x > MARGIN:
            x, y = MARGIN, y + 20
        box = Box(x, y - 6, 12, 12, fill, stroke, 3.0, dashed)
        groups.append(Group((box, Text(x + 18, y, label, "soft", "start", 11.0)), name, {"legend": name}))
        x += needed
    return groups, (y - top + 12 if entries else 0.0)
