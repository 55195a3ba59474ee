"""Figures of a search: the way to the best value, the front, which slots mattered.

In: ``SearchData``. Out: ``figures/*.svg`` and ``*.png`` in its folder. Next: ``page`` puts them into the
report.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from archwalk.analysis.importance import Importance
from archwalk.drawing.scene import shortened
from archwalk.reporting.searches.data import SearchData, Values, sign
from archwalk.reporting.style import COLOURS, looks, plain, save
from archwalk.tasks.metrics import Metric

MOST_SLOTS = 30  # in the figure of importances; the table has all
DAY = 86_400.0  # seconds
WIDTH = 7.8  # inches of every figure
_FREE = 0.08  # share of the values' range that is left free around them


@dataclass(frozen=True)
class SearchFigure:
    """A figure of the report: the name of its files, its heading, how to read it."""

    name: str
    title: str
    caption: str


def draw_search(search: SearchData, importance: Importance | None) -> list[SearchFigure]:
    """Draw and save what there is to draw. Returns it, in order."""
    folder = search.folder / "figures"
    made: list[SearchFigure] = []
    specs: list[tuple[SearchFigure, Callable[[], Figure | None]]] = [
        (WAY, lambda: way(search)),
        (FRONT, lambda: front(search)),
        (MATTERED, lambda: mattered(search, importance)),
    ]
    with looks():
        for spec, draw in specs:
            figure = draw()
            if figure is not None:
                save(figure, folder, spec.name)
                made.append(spec)
    return made


WAY = SearchFigure(
    "search_way",
    "How the best value was found",
    "Points are evaluations, the line is the best value so far, the ring the best of all; a cross at the "
    "edge is an evaluation that failed, a triangle one whose value lies beyond the frame, a hollow point one "
    "that breaks a limit. Time is the sum of what the evaluations took, as if one had followed the other; "
    "the search's own thinking is not in it.",
)
FRONT = SearchFigure(
    "search_front",
    "What can be had together",
    "Points are evaluations that succeeded; the dark ones are on the front: no other one is better in a "
    "metric without being worse in another.",
)
MATTERED = SearchFigure(
    "search_importance",
    "What mattered",
    "Importance of a slot: what a random forest can no longer explain of the ranks of the values when the "
    "slot's choices are exchanged among held-out architectures, as a share of the variance, with its 95 % "
    "interval. An interval that reaches 0 says nothing.",
)


def label(metric: Metric) -> str:
    """A metric's name and unit, and which way is better."""
    unit = f", {'%' if metric.unit == 'percent' else metric.unit}" if metric.unit else ""
    better = "higher" if metric.direction == "max" else "lower"
    return f"{plain(shortened(metric.name, 40))}{unit} ({better} is better)"


def in_units(seconds: Values) -> tuple[Values, str]:
    """Times in whatever unit a reader would choose, and its name."""
    longest = float(seconds.max(initial=0.0))
    for name, least, size in (("days", 2 * DAY, DAY), ("hours", 7_200.0, 3_600.0), ("minutes", 60.0, 60.0)):
        if longest >= least:
            return seconds / size, name
    return (seconds, "seconds") if longest >= 0.1 or longest == 0 else (1_000 * seconds, "milliseconds")


def way(search: SearchData) -> Figure | None:
    """Best so far over evaluations and over time. None where no evaluation succeeded."""
    if not search.ok.any():
        return None
    figure = Figure(figsize=(WIDTH, 3.2))
    left, right = figure.subplots(1, 2, sharey=True)
    numbers = np.arange(1, len(search.evaluations) + 1, dtype=np.float64)
    times, unit = in_units(np.cumsum(search.seconds))
    _draw_way(left, search, numbers)
    _draw_way(right, search, times)
    left.set_xlabel("evaluations")
    left.xaxis.set_major_locator(MaxNLocator(integer=True))
    right.set_xlabel(f"{unit} of evaluations")
    left.set_ylabel(label(search.metric))
    return figure


def _draw_way(axes: Axes, search: SearchData, x: Values) -> None:
    values, good = search.values(0), search.ok
    low, high = frame_of(values[good], search.metric)
    inside = good & (values >= low) & (values <= high)
    axes.plot(x[inside], values[inside], "o", color=COLOURS[4], markersize=3.5, alpha=0.8, linewidth=0)
    edge = low if search.metric.direction == "max" else high
    for those, marker, ink, size in (
        (good & ~inside, "v", "#777777", 4),
        (~good, "x", COLOURS[5], 5),
    ):
        if those.any():  # nothing, unclipped, would leave the axes no room
            y = np.full(int(those.sum()), edge)
            axes.plot(x[those], y, marker, color=ink, markersize=size, clip_on=False)
    broken = inside & ~search.feasible
    axes.plot(x[broken], values[broken], "o", color="white", markersize=2.0, linewidth=0)
    if search.best is None:
        axes.set_ylim(low, high)
        return
    first = int(np.flatnonzero(search.feasible)[0])
    shown = np.clip(search.best_so_far[first:], low, high)
    axes.step(x[first:], shown, where="post", color=COLOURS[0], linewidth=1.8)
    best = x[search.best], values[search.best]
    axes.plot(*best, "o", color=COLOURS[5], markersize=10, markerfacecolor="none", markeredgewidth=1.6)
    axes.set_ylim(low, high)
    axes.margins(x=0.03)


def frame_of(values: Values, metric: Metric) -> tuple[float, float]:
    """Between which values to draw: all, unless a few bad ones would squeeze the others together.

    Args:
        values: finite, at least one.
        metric: whose direction says which ones are bad.
    """
    rewards = values * sign(metric)
    top, bottom = float(rewards.max()), float(rewards.min())
    usual = float(np.quantile(rewards, 0.1))
    if top - bottom > 4 * (top - usual) > 0:
        bottom = usual - (top - usual) / 2
    free = _FREE * (top - bottom) or max(abs(top), 1.0) * 0.01
    ends = (bottom - free) * sign(metric), (top + free) * sign(metric)
    return min(ends), max(ends)


def front(search: SearchData) -> Figure | None:
    """The first metric against each of the others, a panel each; None with one metric, or without a front."""
    if not search.front:
        return None
    others = range(1, len(search.metrics))
    figure = Figure(figsize=(WIDTH, 3.6 * -(-len(others) // 2)))
    panels = figure.subplots(-(-len(others) // 2), min(len(others), 2), squeeze=False).ravel()
    for axes, other in zip(panels, others, strict=False):
        x, y = search.values(other), search.values(0)
        axes.plot(x, y, "o", color=COLOURS[4], markersize=4, alpha=0.7, linewidth=0)
        on = np.array(search.front)
        order = on[np.argsort(x[on], kind="stable")]
        if len(search.metrics) == 2:
            # The corner between two points of the front lies on the worse side, whatever is minimised.
            where = "post" if search.metrics[1].direction == "min" else "pre"
            axes.step(x[order], y[order], where=where, color=COLOURS[0], linewidth=1.4)
        axes.plot(x[order], y[order], "o", color=COLOURS[0], markersize=5.5, linewidth=0)
        axes.set_xlabel(label(search.metrics[other]))
        axes.set_ylabel(label(search.metric))
    for axes in panels[len(others) :]:
        axes.set_visible(False)
    return figure


def mattered(search: SearchData, importance: Importance | None) -> Figure | None:
    """Importances with intervals, the largest first; None where the forest explains nothing."""
    if importance is None or importance.explained <= 0:
        return None
    order: NDArray[np.int64] = np.argsort(-np.nan_to_num(importance.mean, nan=-np.inf), kind="stable")
    order = order[: min(MOST_SLOTS, int(np.isfinite(importance.mean).sum()))]
    figure = Figure(figsize=(WIDTH, 0.8 + 0.24 * len(order)))
    axes = figure.subplots()
    mean = importance.mean[order]
    error = np.stack([mean - importance.low[order], importance.high[order] - mean])
    y = np.arange(len(order))
    ink = [COLOURS[0] if low > 0 else "#9aa4ae" for low in importance.low[order]]
    axes.barh(y, np.maximum(mean, 0), color=ink, height=0.66)
    axes.errorbar(mean, y, xerr=error, fmt="none", ecolor="#1b1b1b", elinewidth=1.0, capsize=2)
    axes.axvline(0, color="#1b1b1b", linewidth=0.8)
    axes.set_yticks(y, [plain(shortened(search.slots[s], 40)) for s in order])
    axes.invert_yaxis()
    axes.grid(axis="y", visible=False)
    axes.set_xlabel("importance: share of the variance of the ranks")
    return figure
