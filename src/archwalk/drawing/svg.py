"""A scene as SVG: one file without scripts, outer references or fonts of its own, for light and dark pages.

In: a ``Scene``. Out: text, made by an XML library, so that no name can break out of it. Next: a browser, a
report, a notebook.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from xml.etree import ElementTree

from archwalk.drawing.scene import Box, Curve, Group, Scene, Text

# Name → colour in light, in dark.
THEMES = {
    "paper": ("#ffffff", "#15181c"),
    "tint": ("#eef2f6", "#2a3038"),
    "ink": ("#1b1b1b", "#eceff2"),
    "soft": ("#5a5a5a", "#a9b2bc"),
    "line": ("#5a6470", "#93a0ad"),
    "faint": ("#cfd5db", "#48515b"),
    "chosen": ("#0072b2", "#56b4e9"),
    "on-chosen": ("#ffffff", "#000000"),
}
FONTS = "ui-monospace, 'SF Mono', Menlo, Consolas, 'DejaVu Sans Mono', monospace"
# What XML 1.0 cannot hold, and what changes the direction of the text around it.
_UNFIT = re.compile("[^\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]|[\u202a-\u202e\u2066-\u2069]")


def clean(text: str) -> str:
    """A text on one line that XML can hold, with a replacement sign for what it cannot."""
    return _UNFIT.sub("\ufffd", re.sub(r"[\t\n\r]", " ", text))


def to_svg(scene: Scene) -> str:
    """The scene as a whole SVG document."""
    size = {"width": f"{scene.width:.0f}", "height": f"{scene.height:.0f}"}
    root = ElementTree.Element(
        "svg",
        {
            "xmlns": "http://www.w3.org/2000/svg",
            "viewBox": f"0 0 {scene.width:.0f} {scene.height:.0f}",
            **size,
            "role": "img",
            "aria-label": clean(scene.title),
            "font-family": FONTS,
        },
    )
    _add(root, "title", {}, scene.title)
    _add(root, "desc", {}, scene.text)
    _add(root, "style", {}, _style())
    _add(root, "rect", {**size, "class": "f-paper", "rx": "8"})
    for group in scene.groups:
        _add_group(root, group)
    return ElementTree.tostring(root, encoding="unicode") + "\n"


def _style() -> str:
    """The themed colours; class names carry a prefix, in case the picture stands within a page."""

    def rules(which: int) -> str:
        return "".join(
            f".f-{name}{{fill:{both[which]}}}.s-{name}{{stroke:{both[which]}}}"
            for name, both in THEMES.items()
        )

    return f"{rules(0)}@media (prefers-color-scheme:dark){{{rules(1)}}}"


def _add(
    parent: ElementTree.Element, tag: str, attributes: Mapping[str, str], text: str = ""
) -> ElementTree.Element:
    element = ElementTree.SubElement(parent, tag, {k: clean(v) for k, v in attributes.items()})
    if text:
        element.text = clean(text)
    return element


def _add_group(root: ElementTree.Element, group: Group) -> None:
    attributes = {f"data-{name}": value for name, value in group.data.items()}
    into = _add(root, "g", attributes)
    if group.title:
        _add(into, "title", {}, group.title)
    for shape in group.shapes:
        if isinstance(shape, Box):
            _add_box(into, shape)
        elif isinstance(shape, Text):
            _add_text(into, shape)
        else:
            _add_curve(into, shape)


def _paint(fill: str, stroke: str) -> dict[str, str]:
    """Attributes of colours: a class for those of the theme."""
    attributes = {"class": " ".join(f"{p}-{c}" for p, c in (("f", fill), ("s", stroke)) if c in THEMES)}
    attributes |= {} if fill in THEMES else {"fill": fill or "none"}
    return attributes if stroke in THEMES or not stroke else attributes | {"stroke": stroke}


def _add_box(into: ElementTree.Element, box: Box) -> None:
    places = {"x": box.x, "y": box.y, "width": box.width, "height": box.height, "rx": box.radius}
    attributes = {name: f"{value:.1f}" for name, value in places.items()} | _paint(box.fill, box.stroke)
    _add(into, "rect", attributes | ({"stroke-dasharray": "3 3"} if box.dashed else {}))


def _add_text(into: ElementTree.Element, text: Text) -> None:
    attributes = {
        "x": f"{text.x:.1f}",
        "y": f"{text.y:.1f}",
        "dy": "0.35em",
        "font-size": f"{text.size:g}",
        "text-anchor": text.anchor,
    }
    bold = {"font-weight": "600"} if text.bold else {}
    _add(into, "text", attributes | _paint(text.fill, "") | bold, text.text)


def _add_curve(into: ElementTree.Element, curve: Curve) -> None:
    attributes = {"d": path_of(curve), "stroke-width": f"{curve.width:g}"} | _paint("none", curve.stroke)
    _add(into, "path", attributes | ({"stroke-dasharray": "3 3"} if curve.dashed else {}))
    if curve.arrow:
        x, y = curve.points[-1]
        head = f"M{x - 3.6:.1f} {y - 7:.1f}L{x + 3.6:.1f} {y - 7:.1f}L{x:.1f} {y:.1f}Z"
        _add(into, "path", {"d": head} | _paint(curve.stroke, ""))


def path_of(curve: Curve) -> str:
    """SVG's path through the points: upright at each, so that it leaves and enters nodes from above."""
    (x, y), *others = curve.points
    path = f"M{x:.1f} {y:.1f}"
    for to_x, to_y in others:
        if curve.straight or abs(to_x - x) < 0.05 or to_y == y:
            path += f"L{to_x:.1f} {to_y:.1f}"
        else:
            middle = (y + to_y) / 2
            path += f"C{x:.1f} {middle:.1f} {to_x:.1f} {middle:.1f} {to_x:.1f} {to_y:.1f}"
        x, y = to_x, to_y
    return path
