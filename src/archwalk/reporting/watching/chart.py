"""Small charts for a page that changes every few seconds: points and lines, made in milliseconds.

In: numbers. Out: an SVG like those of architectures, for light and dark. Next: ``state``.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

from archwalk.drawing.palette import COLOURS
from archwalk.drawing.scene import Box, Curve, Group, Scene, Shape, Text, shortened, text_width
from archwalk.drawing.svg import to_svg

WIDTH, HEIGHT = 460.0, 240.0
_SIZE = 11.0
_TOP, _BOTTOM, _RIGHT = 12.0, 40.0, 14.0


@dataclass(frozen=True)
class Line:
    """A line of a chart.

    Attributes:
        points: (x, y), finite, x ascending.
        name: for the legend; empty: not in it.
        steps: horizontal until the next point, as a best value so far is.
    """

    points: Sequence[tuple[float, float]]
    name: str = ""
    steps: bool = False


def ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Round numbers from low to high, at most so many: multiples of 1, 2 or 5 times a power of ten."""
    if not low < high:
        return [low]
    rough = (high - low) / most
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(s * power for s in (1.0, 2.0, 5.0, 10.0) if s * power >= rough)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [i * step for i in range(first, last + 1)]


def number(value: float) -> str:
    """A number on an axis."""
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.4g}"


def chart(
    title: str,
    words: str,
    axes: tuple[str, str],
    lines: Sequence[Line],
    dots: Sequence[tuple[float, float]] = (),
    frame: tuple[float, float] | None = None,
) -> str:
    """Draw it.

    Args:
        title: for screen readers.
        words: the same in a sentence.
        axes: what x and y are.
        lines: each in a colour of its own.
        dots: (x, y) of single points, finite.
        frame: the values between which to draw; all by default.
    """
    every = [*dots, *(point for line in lines for point in line.points)]
    xs, ys = [x for x, _ in every] or [0.0, 1.0], [y for _, y in every] or [0.0, 1.0]
    low, high = frame or _widened(min(ys), max(ys))
    first, last = min(xs), max(xs) if max(xs) > min(xs) else min(xs) + 1
    y_ticks, x_ticks = ticks(low, high), ticks(first, last)
    left = 12 + max((text_width(number(t), _SIZE) for t in y_ticks), default=0.0)

    def place(x: float, y: float) -> tuple[float, float]:
        across = (x - first) / (last - first)
        up = (min(max(y, low), high) - low) / (high - low)
        return left + across * (WIDTH - left - _RIGHT), HEIGHT - _BOTTOM - up * (HEIGHT - _TOP - _BOTTOM)

    grid: list[Shape] = []
    for tick in y_ticks:
        _, y = place(first, tick)
        grid += [Curve(((left, y), (WIDTH - _RIGHT, y)), "faint", width=0.7)]
        grid += [Text(left - 6, y, number(tick), "soft", "end", _SIZE)]
    for tick in x_ticks:
        x, _ = place(tick, low)
        grid.append(Text(x, HEIGHT - _BOTTOM + 13, number(tick), "soft", "middle", _SIZE))
    grid.append(Text(WIDTH - _RIGHT, HEIGHT - 10, shortened(axes[0]), "soft", "end", _SIZE))
    grid.append(Text(12, HEIGHT - 10, shortened(axes[1], 36), "ink", "start", _SIZE))
    groups = [Group(tuple(grid))]
    shapes = [Box(x - 2, y - 2, 4, 4, COLOURS[4], "", 2.0) for x, y in (place(*dot) for dot in dots)]
    groups.append(Group(tuple(shapes), data={"chart": "dots"}))
    for i, line in enumerate(lines):
        points = [place(*point) for point in line.points]
        if line.steps:
            points = [p for a, b in itertools.pairwise(points) for p in (a, (b[0], a[1]))] + [*points[-1:]]
        pieces = tuple(
            Curve((a, b), COLOURS[i % len(COLOURS)], width=2.0, straight=True)
            for a, b in itertools.pairwise(points)
            if a != b
        )
        groups.append(Group(pieces, line.name, {"chart": "line"}))
    named = [(i, line.name) for i, line in enumerate(lines) if line.name and len(lines) > 1]
    for at, (i, name) in enumerate(named):
        y = HEIGHT + 4 + 16 * at
        mark = Curve(((14, y), (34, y)), COLOURS[i % len(COLOURS)], width=2.0, straight=True)
        groups.append(Group((mark, Text(42, y, shortened(name, 56), "soft", "start", _SIZE)), name))
    return to_svg(Scene(WIDTH, HEIGHT + 16 * len(named), title, words, tuple(groups)))


def _widened(low: float, high: float) -> tuple[float, float]:
    """A frame around values, also where all are equal."""
    free = 0.08 * (high - low) or max(abs(high), 1.0) * 0.01
    return low - free, high + free
