"""The report of a comparison of search methods: its figures and its table in one HTML file.

In: a folder of ``compare``. Out: ``report.html`` in it. Nothing comes after it.
"""

from __future__ import annotations

from pathlib import Path

from archwalk.errors import RunError
from archwalk.files import write_atomically
from archwalk.reporting.data import read_comparisons
from archwalk.reporting.page import REPORT, image, render, versions
from archwalk.reporting.search_figures import draw_comparisons

FIGURES = {
    "rank": (
        "Rank",
        "Geometric mean of the rank of the best architecture so far, with its 95 % interval over seeds.",
    ),
    "regret": ("Regret", "Mean regret of the best architecture so far, with its 95 % interval over seeds."),
    "critical_difference": (
        "All targets together",
        "Mean rank of each method among the methods, over the targets, 1 is best. A bar joins methods of "
        "which no two differ at the 5 % level (signed-rank tests over targets, Holm's correction).",
    ),
}


def report_comparison(folder: str | Path) -> Path:
    """Make the report of a comparison, from the targets that are finished.

    Args:
        folder: of ``compare``, of one target or several.

    Returns:
        The HTML file.

    Raises:
        RunError: no target is finished, a damaged file, or an unwritable folder.
    """
    path = Path(folder)
    comparisons = list(read_comparisons(path))
    if not comparisons:
        raise RunError(f"a finished target in {path}", "none", "give the command of the comparison again")
    draw_comparisons(path)
    drawn = {name: path / f"{name}.svg" for name in FIGURES}
    content = render(
        "comparison.html.j2",
        name=path.resolve().name,
        comparisons=comparisons,
        figures=[(*FIGURES[n], image(f)) for n, f in drawn.items() if f.exists()],
        versions=versions(),
    )
    write_atomically(path / REPORT, content)
    return path / REPORT
