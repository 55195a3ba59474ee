"""The published numbers, as small tables with their source in the first line.

In: nothing. Out: means and intervals by regime and pair of tasks, and the rank correlations. Next: ``data``.
"""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import NamedTuple

import polars as pl


class Published(NamedTuple):
    """One cell of a published matrix; a number the paper misprinted is None.

    Performances are fractions, intervals are over starts.
    """

    mean: float
    std: float | None
    low: float
    high: float


def _read(name: str) -> pl.DataFrame:
    content = resources.files("archwalk.reporting.published").joinpath(name).read_bytes()
    return pl.read_csv(content, comment_prefix="#")


@cache
def published_results() -> dict[tuple[str, str, str], Published]:
    """(regime or unit, source task, target task) → numbers. Units: ``minutes``, ``trained_steps``."""
    rows = _read("results.csv").iter_rows()
    return {(regime, a, b): Published(*numbers) for regime, a, b, *numbers in rows}


@cache
def published_correlation() -> dict[tuple[str, str], float]:
    """(task, task) → Kendall's tau."""
    rows = _read("rank_correlation.csv").iter_rows(named=True)
    return {(row["task"], other): tau for row in rows for other, tau in row.items() if other != "task"}
