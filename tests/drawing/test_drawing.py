"""Pictures of architectures: all of it is drawn, nothing breaks out, everybody can read it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import archwalk
from archwalk.drawing.drawing import Drawing, drawing_of
from archwalk.drawing.palette import _FAMILIES, _OTHERS, colours_of, contrast, ink_on
from archwalk.drawing.scene import shortened
from archwalk.drawing.svg import THEMES, clean
from archwalk.errors import ArchitectureError, SettingsError
from archwalk.spaces import make_space
from archwalk.spaces.base import SearchSpace
from archwalk.spaces.cells import EDGES
from archwalk.spaces.product import SlotSpace
from tests.spaces.test_declared import declarations, open_or_skip

NAMED = ("transnas-micro", "transnas-macro", "nasbench201", "darts", "nasbench101", "gnn", "gpt-s", "mnasnet")
seeds = st.integers(0, 10**6)
Element = ElementTree.Element


def drawn(space: SearchSpace, seed: int) -> tuple[list[int], Element, Drawing]:
    code = space.sample(1, np.random.default_rng(seed))[0].tolist()
    drawing = drawing_of(space, code)
    return code, ElementTree.fromstring(drawing.svg), drawing


def parts(svg: Element) -> dict[str, tuple[dict[int, Element], list[tuple[int, int]]]]:
    """Part → its nodes by number, and its edges."""
    found: dict[str, tuple[dict[int, Element], list[tuple[int, int]]]] = {}
    for group in svg.iter("{http://www.w3.org/2000/svg}g"):
        if "data-part" in group.attrib:
            nodes, edges = found.setdefault(group.attrib["data-part"], ({}, []))
            if "data-node" in group.attrib:
                nodes[int(group.attrib["data-node"])] = group
            else:
                a, b = group.attrib["data-edge"].split()
                edges.append((int(a), int(b)))
                assert group[-1].attrib["d"].startswith("M")
    return found


def terms(nodes: dict[int, Element], edges: list[tuple[int, int]]) -> list[tuple[int, str, int]]:
    """(from, operation, to) of every operation between two nodes that sum."""
    found = []
    for i, node in nodes.items():
        if node.attrib["data-kind"] == "operation":
            [a], [b] = [x for x, y in edges if y == i], [y for x, y in edges if x == i]
            found.append((a, node.attrib["data-label"], b))
    return found


def texts(element: Element) -> list[str]:
    return [text.text or "" for text in element.iter("{http://www.w3.org/2000/svg}text")]


@given(st.sampled_from(["transnas-micro", "nasbench201", "digits-micro"]), seeds)
@settings(max_examples=15, deadline=None)
def test_a_cell_can_be_read_back_from_its_picture(name: str, seed: int) -> None:
    space: Any = make_space(name)
    code, svg, _ = drawn(space, seed)
    [(nodes, edges)] = parts(svg).values()
    assert len(nodes) == 10
    assert len(edges) == 12
    found = {(a, b): operation for a, operation, b in terms(nodes, edges)}
    assert [space.operations.index(found[edge]) for edge in EDGES] == code
    live = space.live_edges(code)
    for e, edge in enumerate(EDGES):
        [i] = [i for i, _ in nodes.items() if i > 3 and (edge[0], i) in edges and (i, edge[1]) in edges]
        assert ("stroke-dasharray" in nodes[i][1].attrib) == (e not in live)
        assert texts(nodes[i]) == [space.operations[code[e]]]


@given(seeds)
@settings(max_examples=15, deadline=None)
def test_darts_cells_can_be_read_back(seed: int) -> None:
    space = make_space("darts")
    code, svg, _ = drawn(space, seed)
    cells = []
    for nodes, edges in parts(svg).values():
        by_end: dict[int, list[str]] = {}
        for a, operation, b in sorted(terms(nodes, edges)):
            by_end.setdefault(b, []).append(f"{operation}~{a}")
        cells.append(",".join("+".join(by_end[end]) for end in sorted(by_end)))
        assert {(n, 6) for n in (2, 3, 4, 5)} <= set(edges)
    assert f"normal:{cells[0]}:reduce:{cells[1]}" == space.format(code)


@given(st.sampled_from(["transnas-macro", "nasbench101"]), seeds)
@settings(max_examples=20, deadline=None)
def test_every_node_and_edge_of_a_graph_is_there(name: str, seed: int) -> None:
    space = make_space(name)
    code, svg, _ = drawn(space, seed)
    [(nodes, edges)] = parts(svg).values()
    graph = space.graph(code)
    labels = [nodes[i].attrib["data-label"] for i in range(len(nodes))]
    assert labels == [space.vocabulary[o] for o in graph.operations]
    assert sorted(edges) == sorted(graph.edges)


@given(declarations(), seeds)
@settings(max_examples=15, deadline=None)
def test_the_table_of_a_declared_space_has_every_slot(declared: dict[str, Any], seed: int) -> None:
    space = open_or_skip(declared)
    code, svg, drawing = drawn(space, seed)
    rows = {g.attrib["data-slot"]: g for g in svg.iter() if "data-slot" in g.attrib}
    assert list(rows) == list(space.declaration.slots)
    for s, (slot, row) in enumerate(rows.items()):
        choices = space.declaration.texts[s]
        assert row.attrib["data-absent"] == str(code[s] < 0).lower()
        shown = texts(row)
        assert shown[0] == slot
        if code[s] >= 0:
            assert row.attrib["data-choice"] == choices[code[s]]
            assert tuple(shown[1:]) == choices
            bold = [t.text for t in row.iter() if t.attrib.get("font-weight")]
            assert bold == [choices[code[s]]]
        else:
            assert shown[1].startswith("absent, only with ")
    assert space.format(code) in drawing.scene.text


@pytest.mark.parametrize("name", NAMED)
def test_pictures_are_whole_accessible_and_load_nothing(name: str) -> None:
    code, svg, drawing = drawn(make_space(name), 3)
    assert svg.attrib["role"] == "img"
    assert (svg[0].tag.rpartition("}")[2], svg[1].tag.rpartition("}")[2]) == ("title", "desc")
    assert name in (svg[0].text or "")
    assert make_space(name).format(code) in (svg[1].text or "")
    text = drawing.svg.replace("http://www.w3.org/2000/svg", "")
    assert not re.search(r"href|url\(|https?:|@import|@font-face|<script|<foreignObject| on\w+=", text)
    assert "prefers-color-scheme:dark" in text
    for element in svg.iter():  # everything lies within the picture
        for key, most in (("x", drawing.scene.width), ("y", drawing.scene.height)):
            at = float(element.attrib.get(key, 0))
            size = float(element.attrib.get("width" if key == "x" else "height", 0))
            assert -0.1 <= at <= at + size <= most + 0.6
    legend = {g.attrib["data-legend"] for g in svg.iter() if "data-legend" in g.attrib}
    operations = {g.attrib["data-label"] for g in svg.iter() if g.attrib.get("data-kind") == "operation"}
    assert operations <= legend
    assert legend - operations <= {"chosen", "other choices", "no signal passes"}
    assert drawing.scene.width <= 1_000  # a page


HOSTILE = (
    "<script>alert(1)</script>",
    "]]>&amp;\"'",
    "\x00\x08\ud800 control",
    "</title><svg onload=alert(1)>",
    "$x_{",
    "\u202egnol yrev " + "漢字" * 40,
)


@given(st.lists(st.one_of(st.sampled_from(HOSTILE), st.text(max_size=12)), min_size=2, max_size=4))
@settings(max_examples=25, deadline=None)
def test_hostile_names_are_text_and_nothing_else(given: list[str]) -> None:
    choices = list(dict.fromkeys(name.replace(",", ";") or "empty" for name in given))
    space = SlotSpace({given[0]: choices, "b": ["p", "q"]})
    svg = ElementTree.fromstring(drawing_of(space, (len(choices) - 1, 0)).svg.encode("utf-8"))
    tags = {element.tag.rpartition("}")[2] for element in svg.iter()}
    assert tags <= {"svg", "title", "desc", "style", "rect", "g", "text", "path"}
    assert not any(key.startswith("on") or "href" in key for e in svg.iter() for key in e.attrib)
    [row] = [g for g in svg.iter() if g.attrib.get("data-slot") == clean(given[0])]
    assert row.attrib["data-choice"] == clean(choices[-1])


class Foreign(SlotSpace):
    """Somebody's own space: a graph, and no names of slots."""

    slots = None  # type: ignore[assignment]

    def __init__(self) -> None:
        super().__init__({"a": ["x", "y"], "b": ["x", "y"]}, name="foreign")
        del self.slots

    def format(self, code: Sequence[int]) -> str:
        return "-".join("xy"[v] for v in code)


def test_a_space_without_named_slots_has_its_graph_drawn() -> None:
    svg = ElementTree.fromstring(drawing_of(Foreign(), (1, 0)).svg)
    [(nodes, edges)] = parts(svg).values()
    assert [nodes[i].attrib["data-label"] for i in range(4)] == ["input", "a=y", "b=x", "output"]
    assert edges == [(0, 1), (1, 2), (2, 3)]


def test_many_choices_become_a_place_among_them() -> None:
    choices = [str(n) for n in range(100)]
    svg = ElementTree.fromstring(drawing_of(SlotSpace({"width": choices, "op": ["a", "b"]}), (41, 0)).svg)
    [row] = [g for g in svg.iter() if g.attrib.get("data-slot") == "width"]
    assert texts(row) == ["width", "41", "0", "99  (42 of 100)"]


def test_a_long_table_stands_in_columns() -> None:
    for slots, columns in ((16, 1), (17, 2), (40, 3), (100, 6)):
        space = SlotSpace({f"slot{i}": ["a"] if i > 10 else ["a", "b"] for i in range(slots)})
        svg = ElementTree.fromstring(drawing_of(space, (0,) * slots).svg)
        rows = [g for g in svg.iter() if "data-slot" in g.attrib]
        assert [g.attrib["data-slot"] for g in rows] == list(space.slots)
        assert len({next(e for e in g if e.tag.endswith("text")).attrib["x"] for g in rows}) == columns
        assert float(svg.attrib["width"]) <= 1_000


def test_colours_can_be_told_apart_and_read() -> None:
    every = {colour for _, family in _FAMILIES for colour in family} | set(_OTHERS)
    assert all(contrast(ink_on(colour), colour) >= 4.5 for colour in every)
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    for which in (0, 1):
        theme = {name: both[which] for name, both in THEMES.items()}
        for ink, paper in (("ink", "paper"), ("ink", "tint"), ("soft", "paper"), ("on-chosen", "chosen")):
            assert contrast(theme[ink], theme[paper]) >= 4.5
        assert contrast(theme["line"], theme["paper"]) >= 3
    space: Any = make_space("darts")
    colours = colours_of([word.partition(":")[2] for word in space.vocabulary[3:10]])
    assert len(set(colours.values())) == 7


def test_labels_are_shortened_in_the_middle() -> None:
    assert shortened("short") == "short"
    assert len(shortened("x" * 100)) == 26
    assert shortened("begin" + "x" * 100 + "end").endswith("xend")


def test_draw_finds_the_space_and_writes_files(tmp_path: Path) -> None:
    cell = "64-41414-3_30_333"
    drawing = archwalk.draw(cell, out=tmp_path / "cell.svg")
    assert (tmp_path / "cell.svg").read_text() == drawing.svg == drawing._repr_svg_()
    assert archwalk.draw(cell, "transnas-micro").svg == drawing.svg
    archwalk.draw("digits16-3_30_333", "digits", tmp_path / "cell.png")
    png = (tmp_path / "cell.png").read_bytes()
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    wide, high = (int.from_bytes(png[i : i + 4], "big") for i in (16, 20))
    assert abs(wide - 2 * drawing.scene.width) <= 2
    assert abs(high - 2 * drawing.scene.height) <= 2
    declared = {"name": "mine", "slots": {"op": ["conv", "skip"], "depth": [1, 2]}}
    assert "depth" in archwalk.draw("op=conv,depth=2", declared).svg


@pytest.mark.parametrize(
    ("given", "kind", "words"),
    [
        (("nonsense",), ArchitectureError, "one of the spaces"),
        (("64-41414-9_30_333", "transnas-micro"), ArchitectureError, "transnas-micro"),
        (("64-41414-3_30_333", "no-such-space"), archwalk.errors.ArchwalkError, "no-such-space"),
        (("64-41414-3_30_333", None, "cell.pdf"), SettingsError, r"\.svg or \.png"),
    ],
)
def test_what_cannot_be_drawn(
    given: Sequence[Any], kind: type[Exception], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(kind, match=words):
        archwalk.draw(*given)
    assert not list(tmp_path.iterdir())
