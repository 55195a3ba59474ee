"""Figures of how good the agents are: matrices, regret, ranks.

In: ``StudyData``. Out: figures 5 to 7 of the paper, and regret and rank as bars. Next: ``figures`` names and
saves them.
"""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from archwalk.analysis.statistics import mean_interval
from archwalk.reporting.data import StudyData, Values
from archwalk.reporting.style import SCRATCH_COLOUR, SCRATCH_HATCH, colour, matrix, task_panels

REGIME_ORDER = ("scratch", "zero-shot", "fine-tune", "retrain")


def performance(data: StudyData, regime: str) -> Figure:
    """The matrix of a regime: mean over seeds of the final architecture's metric, standard deviation over
    seeds, interval over seeds, and the published mean. Colour is the mean validation score."""
    tasks = list(data.tasks)
    shades = np.full((len(tasks), len(tasks)), np.nan)
    texts = []
    for i, a in enumerate(tasks):
        line = []
        for j, b in enumerate(tasks):
            values = data.values(a, b, regime, "mean")
            if a == b and regime == "zero-shot":
                line.append("–")
                continue
            if len(values) == 0:
                line.append("not done")
                continue
            shades[i, j] = np.clip(data.values(a, b, regime, "validation_score").mean(), 0, 1)
            line.append(_cell(data, a, b, regime, values))
        texts.append(line)
    figure = Figure(figsize=(1.5 + 1.55 * len(tasks), 0.9 + 0.85 * len(tasks)))
    axes = figure.subplots()
    matrix(axes, shades, texts, tasks, [f"{task}\n{_unit(data, task)}" for task in tasks])
    axes.set_xlabel("target task")
    axes.set_ylabel("source task")
    axes.xaxis.set_label_position("top")
    axes.xaxis.tick_top()
    return figure


def _unit(data: StudyData, task: str) -> str:
    return f"{data.metric(task)}, %" if data.percent(task) else data.metric(task)


def _cell(data: StudyData, source: str, target: str, regime: str, values: Values) -> str:
    interval = mean_interval(values)
    number = ".2f" if data.percent(target) else ".4f"
    lines = [f"{values.mean():{number}}"]
    if len(values) > 1:
        lines[0] += f" ± {values.std(ddof=1):{number}}"
        lines.append(f"[{interval.low:{number}}, {interval.high:{number}}]")
    published = data.published(regime, source, target)
    if published:
        lines.append(f"paper {published.mean:{'.1f' if data.percent(target) else '.3f'}}")
    return "\n".join(lines)


def regret(data: StudyData) -> Figure:
    """Mean regret to the oracle on the results' split, a panel a target task, bars grouped by regime."""
    return _bars(data, "regret_mean", "regret to the oracle")


def rank_percentile(data: StudyData) -> Figure:
    """Share of the space that is ranked worse, a panel a target task, bars grouped by regime."""
    figure = _bars(data, "rank_percentile_mean", "better than … % of the space")
    for axes in figure.axes:
        axes.set_ylim(0, 103)  # an interval over two seeds goes far beyond what can be
    return figure


def _bars(data: StudyData, column: str, label: str) -> Figure:
    """Bars of a column of the results: scratch first, then every source under every regime."""
    figure, panels = task_panels(len(data.tasks), 2.7)
    for axes, target in zip(panels, data.tasks, strict=False):
        axes.set_title(target)
        axes.set_ylabel(label if column != "regret_mean" else f"{label} ({_unit(data, target)})")
        _panel(axes, data, target, column)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return figure


def _panel(axes: Axes, data: StudyData, target: str, column: str) -> None:
    width = 0.8 / len(data.tasks)
    for i, source in enumerate(data.tasks):
        regimes = ("scratch",) if source == target else REGIME_ORDER[1:]
        name = f"from {source}"
        for regime in regimes:
            group = REGIME_ORDER.index(regime)
            at = group if regime == "scratch" else group + (i - (len(data.tasks) - 1) / 2) * width
            values = data.values(source, target, regime, column)
            bar(axes, at, width, values, mean_interval(values), i, hatched=regime == "scratch")
        axes.bar([0], [np.nan], color=colour(i), label=name)  # for the legend
    axes.set_xticks(range(len(REGIME_ORDER)), REGIME_ORDER)
    axes.grid(axis="x", visible=False)


def bar(
    axes: Axes,
    at: float,
    width: float,
    values: Values,
    interval: tuple[float, float],
    task: int,
    hatched: bool,
) -> None:
    """A bar with its interval and a point a seed; hatched for agents from scratch.

    Args:
        axes: where.
        at: middle of the bar.
        width: of the bar.
        values: one a seed; nothing is drawn if there are none.
        interval: of their mean; NaN for none.
        task: number of the source task, which has the colour.
        hatched: whether it is of agents from scratch.
    """
    if len(values) == 0:
        return
    hatch = SCRATCH_HATCH if hatched else None
    mean = float(values.mean())
    axes.bar(at, mean, width * 0.92, color=colour(task), edgecolor="black", linewidth=0.5, hatch=hatch)
    spread = np.linspace(-0.22, 0.22, len(values)) * width if len(values) > 1 else np.zeros(1)
    axes.scatter(
        at + spread, values, 9, "white", marker="o", edgecolors=SCRATCH_COLOUR, linewidths=0.6, zorder=3
    )
    if not np.isnan(interval[0]):
        error = [[mean - interval[0]], [interval[1] - mean]]
        axes.errorbar(at, mean, error, color=SCRATCH_COLOUR, capsize=2, linewidth=1, zorder=4)
