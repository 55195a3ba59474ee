"""How every figure looks: colours that survive greyscale and colour blindness, and how figures are saved.

In: nothing. Out: colours, markers, hatches, files. Next: the modules that draw.
"""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from archwalk.drawing.palette import COLOURS as COLOURS
from archwalk.drawing.svg import clean
from archwalk.files import write_atomically

MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
LINES: tuple[Any, ...] = ("-", (0, (6, 2)), (0, (2, 1.2)), (0, (6, 2, 1, 2)))
SCRATCH_COLOUR = "#000000"
SCRATCH_HATCH = "////"
SEQUENTIAL = "cividis"  # made for colour-blind readers, monotone in lightness

RC = {
    "font.size": 9.0,
    "axes.titlesize": 10.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "savefig.dpi": 160,
    "svg.hashsalt": "archwalk",  # equal data, equal bytes
    "figure.constrained_layout.use": True,
}


def looks() -> Any:
    """The context in which figures are drawn and saved."""
    return mpl.rc_context(RC)  # type: ignore[arg-type]


def task_panels(tasks: int, height: float) -> tuple[Figure, NDArray[Any]]:
    """A figure with a panel a task, two beside each other, each ``height`` inches tall."""
    wide = min(tasks, 2)
    tall = -(-tasks // wide)
    figure = Figure(figsize=(3.9 * wide, height * tall + 0.5))
    panels = figure.subplots(tall, wide, squeeze=False).ravel()
    for axes in panels[tasks:]:
        axes.set_visible(False)
    return figure, panels


def line_with_band(
    axes: Axes,
    x: NDArray[Any],
    curve: tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]],
    index: int,
    *,
    foremost: bool,
    label: str | None = None,
) -> None:
    """A curve and its interval.

    Args:
        axes: where.
        x: [points].
        curve: mean, and both ends of its interval, each [points].
        index: which of the lines this is, for its colour, dashes and marker.
        foremost: black, solid and thick instead: what all others are compared with.
        label: for the legend.
    """
    mean, low, high = curve
    ink = SCRATCH_COLOUR if foremost else colour(index)
    axes.plot(
        x,
        mean,
        color=ink,
        linewidth=2.0 if foremost else 1.3,
        linestyle="-" if foremost else LINES[index % len(LINES)],
        marker=None if foremost else MARKERS[index % len(MARKERS)],
        markersize=4,
        markevery=max(1, len(x) // 6),
        label=label,
    )
    axes.fill_between(x, low, high, color=ink, alpha=0.15, linewidth=0)


def plain(name: str) -> str:
    """A user's name as a figure can show it, dollars included."""
    return clean(name).replace("$", r"\$")


def colour(index: int) -> str:
    """Of the n-th task."""
    return COLOURS[index % len(COLOURS)]


def text_colour(shade: float) -> str:
    """What can be read on a cell of the sequential map, ``shade`` in 0 to 1."""
    return "black" if shade > 0.55 else "white"


def matrix(
    axes: Axes, shades: NDArray[np.float64], texts: list[list[str]], rows: list[str], columns: list[str]
) -> None:
    """A matrix of cells with text in them.

    Args:
        axes: where.
        shades: 0 to 1, NaN for an empty cell, [rows, columns].
        texts: of the cells, [rows][columns].
        rows: names.
        columns: names.
    """
    colours = mpl.colormaps[SEQUENTIAL].with_extremes(bad="#eeeeee")
    axes.imshow(shades, cmap=colours, vmin=0, vmax=1, aspect="auto")
    for i, line in enumerate(texts):
        for j, text in enumerate(line):
            shade = shades[i, j]
            ink = "#555555" if np.isnan(shade) else text_colour(float(shade))
            axes.text(j, i, text, ha="center", va="center", color=ink, fontsize=7.5)
    axes.set_xticks(range(len(columns)), columns)
    axes.set_yticks(range(len(rows)), rows)
    axes.grid(False)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)


def save(figure: Figure, folder: Path, name: str) -> None:
    """``name.svg`` and ``name.png``, each whole or not at all."""
    for kind, metadata in (("svg", {"Date": None}), ("png", {"Software": None})):
        buffer = io.BytesIO()
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Glyph .* missing from")  # a box stands there instead
            figure.savefig(buffer, format=kind, metadata=metadata)
        write_atomically(folder / f"{name}.{kind}", buffer.getvalue())
