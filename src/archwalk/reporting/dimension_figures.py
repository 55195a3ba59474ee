"""Figures of studies with several algorithms or transfer methods.

In: ``StudyData``. Out: scores and costs by algorithm; scores by transfer method, a panel a pair. Next:
``figures`` names and saves them.
"""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from archwalk.analysis.statistics import mean_interval
from archwalk.reporting.data import UNITS, StudyData
from archwalk.reporting.dimensions import (
    LEVEL,
    REGIMES,
    TRAINED,
    Pairs,
    agents_of,
    cost_to_level,
    seed_scores,
)
from archwalk.reporting.result_figures import bar
from archwalk.reporting.style import colour, task_panels


def algorithms(data: StudyData) -> Figure | None:
    """Score by regime, and what it took to ``LEVEL``, bars by algorithm; None where there is one."""
    names = data.plan.algorithms
    if len(names) < 2:
        return None
    views = [data.of(name, data.transfer) for name in names]
    figure, panels = task_panels(1 + len(UNITS), 2.7)
    _scores(panels[0], views, {regime: agents_of(data, regime) for regime in REGIMES})
    for axes, (unit, (_, _, label)) in zip(panels[1:], UNITS.items(), strict=True):
        for group, regime in enumerate(TRAINED):
            for i, view in enumerate(views):
                spent = cost_to_level(view, agents_of(data, regime), unit).spent.mean(1)
                at, width = _at(group, i, len(views))
                bar(axes, at, width, spent, mean_interval(spent), i, hatched=regime == "scratch")
        axes.set_xticks(range(len(TRAINED)), TRAINED)
        axes.set_ylabel(f"{label} to {LEVEL}")
        axes.set_ylim(bottom=0)
        axes.grid(axis="x", visible=False)
    _legend(figure, panels[0], names)
    return figure


def transfers(data: StudyData) -> Figure | None:
    """Score by regime, bars by transfer method, a panel a pair; None where there is one method."""
    names = data.plan.transfers
    if len(names) < 2:
        return None
    views = [data.of(data.algorithm, name) for name in names]
    figure, panels = task_panels(len(data.pairs), 2.3)
    for axes, pair in zip(panels, data.pairs, strict=False):
        axes.set_title(f"{pair[0]} → {pair[1]}")
        _scores(axes, views, {regime: [pair] for regime in REGIMES[1:]})
    _legend(figure, panels[0], names)
    return figure


def _scores(axes: Axes, views: list[StudyData], pairs: dict[str, Pairs]) -> None:
    lowest = 0.0
    for group, (regime, agents) in enumerate(pairs.items()):
        for i, view in enumerate(views):
            scores = np.array(list(seed_scores(view, agents, regime).values()))
            at, width = _at(group, i, len(views))
            bar(axes, at, width, scores, mean_interval(scores), i, hatched=regime == "scratch")
            lowest = min(lowest, float(scores.min(initial=0.0)))
    axes.set_xticks(range(len(pairs)), list(pairs))
    axes.set_ylabel("validation score")
    axes.set_ylim(lowest - 0.05, 1.05)  # intervals of few seeds reach far beyond what a score can be
    axes.grid(axis="x", visible=False)


def _at(group: int, index: int, count: int) -> tuple[float, float]:
    """Middle and width of a bar."""
    width = 0.8 / count
    return group + (index - (count - 1) / 2) * width, width


def _legend(figure: Figure, axes: Axes, names: tuple[str, ...]) -> None:
    for i, name in enumerate(names):
        axes.bar([0], [np.nan], color=colour(i), label=name)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=4)
