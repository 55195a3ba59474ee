"""A scene as PNG, in the light colours, drawn by Matplotlib.

In: a ``Scene``. Out: bytes. Next: whatever cannot show SVG.
"""

from __future__ import annotations

import io
import warnings

from archwalk.drawing.scene import Box, Curve, Scene, Text
from archwalk.drawing.svg import THEMES, clean

_DPI = 100.0
_ANCHORS = {"start": "left", "middle": "center", "end": "right"}


def to_png(scene: Scene, scale: float = 2.0) -> bytes:
    """The scene as PNG.

    Args:
        scene: what to draw.
        scale: pixels of the file a pixel of the scene.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure
    from matplotlib.patches import FancyBboxPatch, PathPatch, Polygon
    from matplotlib.path import Path

    with mpl.rc_context({"font.family": "monospace", "text.parse_math": False}):
        figure = Figure(figsize=(scene.width / _DPI, scene.height / _DPI), dpi=_DPI * scale)
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set_axis_off()
        axes.set(xlim=(0, scene.width), ylim=(scene.height, 0))
        for group in scene.groups:
            for shape in group.shapes:
                if isinstance(shape, Box):
                    axes.add_patch(
                        FancyBboxPatch(
                            (shape.x, shape.y),
                            shape.width,
                            shape.height,
                            f"round,pad=0,rounding_size={min(shape.radius, shape.height / 2)}",
                            facecolor=_light(shape.fill),
                            edgecolor=_light(shape.stroke),
                            linewidth=0.72,
                            linestyle="--" if shape.dashed else "-",
                        )
                    )
                elif isinstance(shape, Text):
                    axes.text(
                        shape.x,
                        shape.y,
                        clean(shape.text),
                        color=_light(shape.fill),
                        ha=_ANCHORS[shape.anchor],
                        va="center_baseline",
                        fontsize=shape.size * 72 / _DPI,
                        fontweight="bold" if shape.bold else "normal",
                    )
                else:
                    ink = _light(shape.stroke)
                    style = "--" if shape.dashed else "-"
                    path = Path(*_vertices(shape))
                    axes.add_patch(
                        PathPatch(path, fill=False, lw=shape.width * 72 / _DPI, linestyle=style, color=ink)
                    )
                    if shape.arrow:
                        x, y = shape.points[-1]
                        axes.add_patch(Polygon([(x - 3.6, y - 7), (x + 3.6, y - 7), (x, y)], lw=0, color=ink))
        buffer = io.BytesIO()
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Glyph .* missing from font")
            figure.savefig(buffer, format="png", facecolor=THEMES["paper"][0], metadata={"Software": None})
    return buffer.getvalue()


def _light(colour: str) -> str:
    return THEMES[colour][0] if colour in THEMES else colour


def _vertices(curve: Curve) -> tuple[list[tuple[float, float]], list[int]]:
    """Matplotlib's path through the points, as ``svg.path_of``."""
    (x, y), *others = curve.points
    vertices, codes = [(x, y)], [1]  # MOVETO
    for to_x, to_y in others:
        if curve.straight:
            vertices.append((to_x, to_y))
            codes.append(2)  # LINETO
            x, y = to_x, to_y
            continue
        middle = (y + to_y) / 2
        vertices += [(x, middle), (to_x, middle), (to_x, to_y)]
        codes += [4, 4, 4]  # CURVE4
        x, y = to_x, to_y
    return vertices, codes
