"""Figures and table of searching under a budget, from the comparisons that lie in a study's folder.

In: ``StudyData``. Out: anytime curves and a table. Next: ``figures`` and ``tables`` name and save them.
"""

from __future__ import annotations

import numpy as np
import polars as pl
from matplotlib.figure import Figure

from archwalk.analysis.curves import band
from archwalk.reporting.data import StudyData
from archwalk.reporting.style import line_with_band, task_panels
from archwalk.searching.registry import knows_sources


def anytime(data: StudyData, column: str = "best_rank") -> Figure | None:
    """Best so far against evaluations, a panel a target, a line a method; None without comparisons.

    Args:
        data: the study.
        column: ``best_rank``, whose mean is geometric, or ``regret``.
    """
    comparisons = data.comparisons
    if not comparisons:
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
                foremost=knows_sources(method),
                label=method,
            )
        if column == "best_rank":
            axes.set_yscale("log")
            axes.set_ylim(bottom=1)
        axes.set_title(comparison.target)
        axes.set_xlabel("evaluations")
        axes.set_ylabel("best rank" if column == "best_rank" else "regret, validation")
        axes.set_xlim(left=1)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return figure


def search_table(data: StudyData) -> pl.DataFrame | None:
    """Every method at every budget, a row each; None without comparisons."""
    parts = [c.summary.select(pl.lit(c.target).alias("target"), pl.all()) for c in data.comparisons]
    return pl.concat(parts) if parts else None
