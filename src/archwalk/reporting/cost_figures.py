"""Figures of how long it takes: training curves, and what it costs to match an agent from scratch.

In: ``StudyData``. Out: figures 8 to 11 of the paper, and the same against evaluations. Next: ``figures``
names and saves them.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from archwalk.analysis.curves import Curve, band, moving_average
from archwalk.reporting.data import UNITS, StudyData, Values
from archwalk.reporting.result_figures import bar
from archwalk.reporting.style import LINES, SCRATCH_COLOUR, colour, line_with_band, task_panels

FIRST_PART = 0.2  # of the run: the paper's first 2 of 10 million steps
GRID = 200  # points of a common axis where runs differ in cost


class Line(NamedTuple):
    """Mean of some runs' smoothed curves with its 95 % interval, each [points]."""

    cost: Values
    mean: Values
    low: Values
    high: Values


def _line(runs: list[Curve]) -> Line:
    """Runs on a common axis: their own where they agree, else interpolated as far as all of them go."""
    smooth = [moving_average(run.score) for run in runs]
    cost = runs[0].cost
    if any(len(run.cost) != len(cost) or (run.cost != cost).any() for run in runs):
        cost = np.linspace(max(run.cost[0] for run in runs), min(run.cost[-1] for run in runs), GRID)
        smooth = [np.interp(cost, run.cost, curve) for run, curve in zip(runs, smooth, strict=True)]
    return Line(cost, *band(np.array(smooth)))


def curves(data: StudyData, unit: str = "trained_steps", part: float = 1.0) -> Figure:
    """Smoothed validation score against a cost, a panel a target task, a line a source.

    Args:
        data: the study.
        unit: one of ``UNITS``.
        part: share of the cost that is shown, from the beginning.
    """
    column, factor, label = UNITS[unit]
    figure, panels = task_panels(len(data.tasks), 2.8)
    for axes, target in zip(panels, data.tasks, strict=False):
        longest, lowest = 0.0, 0.0
        for i, source in enumerate(data.tasks):
            runs = data.runs(source, target, column, factor)
            if runs:
                line = _line(runs)
                longest = max(longest, float(line.cost[-1]))
                lowest = min(lowest, float(line.mean.min()))
                _draw(axes, line, i, part, scratch=source == target)
            axes.plot([], [], color=colour(i), linestyle=LINES[i % len(LINES)], label=f"from {source}")
        axes.plot([], [], color=SCRATCH_COLOUR, linewidth=2, label="from scratch")
        axes.set_title(target)
        axes.set_xlabel(label)
        axes.set_ylabel("validation score")
        axes.set_ylim(lowest - 0.05, 1.05)  # bands of few seeds reach far beyond what a score can be
        if longest:
            axes.set_xlim(0, longest * part)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure


def _draw(axes: Axes, line: Line, task: int, part: float, *, scratch: bool) -> None:
    shown = line.cost <= line.cost[-1] * part
    shown[: min(2, len(shown))] = True
    curve = (line.mean[shown], line.low[shown], line.high[shown])
    line_with_band(axes, line.cost[shown], curve, task, foremost=scratch)


def to_match(data: StudyData, unit: str) -> Figure:
    """What it takes to match agents from scratch: bars grouped by target task, hatched for the agents from
    scratch themselves; a point is a seed's mean over all references. The scale is logarithmic above the
    smallest cost and linear below, where zero-shot matches lie.
    """
    figure = Figure(figsize=(7.6, 3.6))
    axes = figure.subplots()
    width = 0.8 / len(data.tasks)
    smallest = np.inf
    censored = []
    for j, target in enumerate(data.tasks):
        for i, source in enumerate(data.tasks):
            found = data.match(unit, source, target)
            if found is None:
                continue
            at = j + (i - (len(data.tasks) - 1) / 2) * width
            bar(axes, at, width, found.cost.mean(1), found.interval, i, hatched=source == target)
            positive = found.cost[found.cost > 0]
            smallest = min(smallest, float(positive.min()) if len(positive) else np.inf)
            if found.censored:
                top = np.nanmax([found.cost.mean(1).max(), found.interval[1]])
                censored.append((at, top, f"{found.censored}/{found.cost.size}"))
    for i, source in enumerate(data.tasks):
        axes.bar([0], [np.nan], color=colour(i), label=f"from {source}")
    axes.bar([0], [np.nan], color="white", edgecolor="black", hatch="////", label="from scratch")
    if np.isfinite(smallest):
        axes.set_yscale("symlog", linthresh=smallest)
    for at, top, text in censored:
        axes.annotate(
            f"▲{text}", (at, top), (0, 4), textcoords="offset points", ha="center", fontsize=6.5, rotation=90
        )
    axes.margins(y=0.25)
    axes.set_ylim(bottom=0)
    axes.set_xticks(range(len(data.tasks)), [f"to {task}" for task in data.tasks])
    axes.set_ylabel(f"{UNITS[unit][2]} to match")
    axes.grid(axis="x", visible=False)
    figure.legend(loc="outside lower center", ncols=3)
    return figure
