"""Figures and table of searching under a budget, from the comparisons that lie in a study's folder.

In: ``comparisons/*/`` of a study folder, each made by ``archwalk compare --out``. Out: anytime curves and a
table. Next: ``figures`` and ``tables`` name and save them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
import polars as pl
from matplotlib.figure import Figure

from archwalk.analysis.curves import band
from archwalk.errors import RunError
from archwalk.reporting.data import StudyData
from archwalk.reporting.style import LINES, MARKERS, SCRATCH_COLOUR, colour, task_panels

COMPARISONS = "comparisons"
DEFAULT = "agent"  # drawn in black


@dataclass(frozen=True)
class Comparison:
    """One finished comparison: its target task, every look, and means at the budgets asked for."""

    target: str
    curves: pl.DataFrame
    summary: pl.DataFrame


def read_comparisons(data: StudyData) -> list[Comparison]:
    """All comparisons of a study that have results, by name of their folders.

    Raises:
        RunError: one of another benchmark, or one that cannot be read.
    """
    found = []
    for file in sorted((data.folder.path / COMPARISONS).glob("*/compare.json")):
        curves, summary = file.parent / "curves.csv", file.parent / "summary.csv"
        if not (curves.exists() and summary.exists()):
            continue  # still under way
        try:
            made = json.loads(file.read_text())
            same = made["checksum"] == data.plan.checksum
            comparison = Comparison(made["plan"]["target"], pl.read_csv(curves), pl.read_csv(summary))
        except (ValueError, KeyError, TypeError, OSError, pl.exceptions.PolarsError) as error:
            raise RunError(
                "a folder made by 'archwalk compare'", f"{file.parent}: {error}", "move it"
            ) from error
        if not same:
            got = f"{file.parent}, of another benchmark"
            raise RunError("comparisons on the benchmark of the study", got, "move it elsewhere")
        found.append(comparison)
    return found


def anytime(data: StudyData, column: str = "best_rank") -> Figure | None:
    """Best so far against evaluations, a panel a target, a line a method; None without comparisons.

    Args:
        data: the study.
        column: ``best_rank``, whose mean is geometric, or ``regret``.
    """
    comparisons = read_comparisons(data)
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
            looks = np.arange(1, length + 1)
            ink = SCRATCH_COLOUR if method == DEFAULT else colour(i)
            axes.plot(
                looks,
                mean,
                color=ink,
                linestyle="-" if method == DEFAULT else LINES[i % len(LINES)],
                linewidth=2 if method == DEFAULT else 1.2,
                marker=MARKERS[i % len(MARKERS)],
                markevery=(i, max(length // 5, 1)),
                markersize=4,
                label=method,
            )
            best = 1.0 if column == "best_rank" else 0.0
            axes.fill_between(looks, np.maximum(low, best), high, color=ink, alpha=0.1, linewidth=0)
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
    parts = [c.summary.insert_column(0, pl.lit(c.target).alias("target")) for c in read_comparisons(data)]
    return pl.concat(parts) if parts else None
