"""Figures and table of searching under a budget, from comparisons: those in a study's folder, or one alone.

In: ``Comparison``s. Out: anytime curves, a critical-difference diagram and a table. Next: ``figures`` and
``tables`` name and save those of a study; ``draw_comparisons`` saves those of a folder of ``compare``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from archwalk.analysis.curves import band
from archwalk.reporting.data import Comparison, StudyData, named_protocol, read_comparisons
from archwalk.reporting.style import line_with_band, looks, save, task_panels
from archwalk.searching.comparing.verdicts import over_targets
from archwalk.searching.registry import is_default


def anytime(comparisons: Sequence[Comparison], column: str = "best_rank") -> Figure | None:
    """Best so far against evaluations, a panel a target, a line a method.

    Args:
        comparisons: of any targets.
        column: ``best_rank``, whose mean is geometric, or ``regret``.

    Returns:
        None without comparisons, or where nothing has a rank.
    """
    if not comparisons or any(c.curves[column].null_count() for c in comparisons):
        return None
    methods = list(
        dict.fromkeys(m for c in comparisons for m in c.curves["method"].unique(maintain_order=True))
    )
    figure, panels = task_panels(len(comparisons), 2.8)
    for axes, comparison in zip(panels, comparisons, strict=False):
        for i, method in enumerate(methods):
            rows = comparison.curves.filter(pl.col.method == method)
            runs = [group[column].to_numpy() for _, group in rows.group_by("seed", maintain_order=True)]
            if not runs:
                continue
            length = min(map(len, runs))
            values = np.array([run[:length] for run in runs], dtype=np.float64)
            if column == "best_rank":
                mean, low, high = (10**line for line in band(np.log10(values)))
            else:
                mean, low, high = band(values)
            best = 1.0 if column == "best_rank" else 0.0
            line_with_band(
                axes,
                np.arange(1, length + 1),
                (mean, np.maximum(low, best), high),
                i,
                foremost=is_default(method),
                label=method,
            )
        if column == "best_rank":
            axes.set_yscale("log")
            axes.set_ylim(bottom=1)
        axes.set_title(comparison.title)
        axes.set_xlabel("evaluations")
        axes.set_ylabel("best rank" if column == "best_rank" else "regret, validation")
        axes.set_xlim(left=1)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return figure


def critical_difference(comparisons: Sequence[Comparison]) -> Figure | None:
    """Mean ranks of the methods over targets, a panel a budget; a bar joins methods that do not differ.

    Of methods and budgets that all comparisons have. None with fewer than 2 of comparisons or of methods.
    """
    if len(comparisons) < 2:
        return None
    frames = [c.summary.with_columns(pl.lit(str(i)).alias("target")) for i, c in enumerate(comparisons)]
    methods, budgets = (
        [v for v in frames[0][name].unique(maintain_order=True) if all((f[name] == v).any() for f in frames)]
        for name in ("method", "budget")
    )
    if len(methods) < 2 or not budgets:
        return None
    kept = pl.col.method.is_in(methods) & pl.col.budget.is_in(budgets)
    rows = [row for frame in frames for row in frame.filter(kept).to_dicts()]
    found = over_targets(rows)
    figure = Figure(figsize=(7.8, len(found) * (1.0 + 0.22 * len(methods))))
    for axes, at in zip(figure.subplots(len(found), squeeze=False).ravel(), found, strict=True):
        _draw_ranks(axes, at)
    protocols = ", ".join(dict.fromkeys(named_protocol(c.protocol) for c in comparisons))
    figure.suptitle(f"Mean rank of the methods over {len(comparisons)} targets, {protocols}", fontsize=10)
    return figure


def _draw_ranks(axes: Axes, at: dict[str, Any]) -> None:
    """One axis of mean ranks; the better half of the methods is named on the left, the other on the right."""
    place = {m["method"]: m["mean_rank"] for m in at["methods"]}
    order = sorted(place, key=lambda method: place[method])
    half, width = -(-len(order) // 2), len(order)
    bars = len(at["groups"])
    for i, method in enumerate(order):
        left = i < half
        level = -(0.35 * bars + 0.8 + (i if left else width - 1 - i))
        end = 0.55 if left else width + 0.45
        ink: dict[str, Any] = {"color": "black", "linewidth": 2.0 if is_default(method) else 0.9}
        axes.plot([place[method], place[method], end], [0, level, level], **ink)
        text = f"{method}  {place[method]:.2f}"
        axes.text(end + (-0.06 if left else 0.06), level, text, ha="right" if left else "left", va="center")
    for k, group in enumerate(at["groups"]):
        ends = [place[method] for method in group]
        height = -0.35 * (k + 1)
        axes.plot([min(ends) - 0.04, max(ends) + 0.04], [height, height], color="#D55E00", linewidth=3.5)
    p = at["friedman_p"]
    axes.set_title(
        f"after {at['budget']} evaluations" + ("" if p is None else f" (Friedman p = {p:.2g})"), loc="left"
    )
    axes.plot([1, width], [0, 0], color="black", linewidth=0.9)
    for rank in range(1, width + 1):
        axes.plot([rank, rank], [0, 0.2], color="black", linewidth=0.9)
        axes.text(rank, 0.3, str(rank), ha="center", va="bottom", fontsize=8)
    axes.set_xlim(-0.9, width + 1.9)
    axes.set_ylim(-(0.35 * bars + half + 0.6), 1.2)
    axes.set_axis_off()


def draw_comparisons(folder: Path) -> None:
    """Save the figures of a folder of ``compare``: ``rank``, ``regret`` and, of several targets,
    ``critical_difference``, each as SVG and PNG."""
    comparisons = tuple(read_comparisons(folder))
    with looks():
        figures = {
            "rank": anytime(comparisons),
            "regret": anytime(comparisons, "regret"),
            "critical_difference": critical_difference(comparisons),
        }
        for name, figure in figures.items():
            if figure is not None:
                save(figure, folder, name)


def search_table(data: StudyData) -> pl.DataFrame | None:
    """Every method at every budget, a row each; None without comparisons."""
    parts = [
        c.summary.select(
            pl.lit(c.target).alias("target"),
            pl.lit(c.protocol or "of the file").alias("protocol"),
            pl.exclude("target", "protocol"),
        )
        for c in data.comparisons
    ]
    return pl.concat(parts, how="diagonal_relaxed") if parts else None
