"""The report of a search as one HTML file, with its figures and tables beside it.

In: the folder of a search. Out: ``report.html`` in it, ``figures/`` and ``tables/`` in the folder of each
task. Nothing comes after it.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from archwalk.analysis.importance import LEAST, Importance
from archwalk.drawing.drawing import Drawing, drawing_of
from archwalk.files import write_atomically
from archwalk.reporting.data import format_number
from archwalk.reporting.page import REPORT, image, render, versions
from archwalk.reporting.searches.data import SearchData, parsed_best, read_searches
from archwalk.reporting.searches.figures import SearchFigure, draw_search, in_units
from archwalk.studies.folder import make_frame

BEST = 10  # evaluations in the table of the best
NAMED = 6  # slots in a sentence
_SHORT = {"milliseconds": "ms", "seconds": "s", "minutes": "min", "hours": "h"}
EVALUATIONS, IMPORTANCE = "search_evaluations.csv", "search_importance.csv"


@dataclass(frozen=True)
class Section:
    """What the report says of one task: finished sentences, pictures and rows; templates only place them."""

    search: SearchData
    found: str
    drawing: str
    drawn_words: str
    figures: dict[str, tuple[SearchFigure, str]]
    best: list[list[Any]]
    front: list[list[Any]]
    mattered: str
    importance: list[list[Any]]
    costs: list[list[Any]]

    @property
    def metric_names(self) -> list[str]:
        """As the tables' heads name them."""
        return [metric.name for metric in self.search.metrics]


def report_search(folder: str | Path) -> Path:
    """Make the report of a search, of one task or several, finished or not.

    Args:
        folder: of the search.

    Returns:
        The HTML file.

    Raises:
        RunError: no search there, nothing evaluated yet, a damaged file, or an unwritable folder.
    """
    path = Path(folder)
    searches = read_searches(path)
    sections = [_section(search) for search in searches]
    seconds = np.array([float(sum(s.seconds.sum() for s in searches))])
    file = path / REPORT
    content = render(
        "search.html.j2",
        name=path.resolve().name,
        sections=sections,
        unfinished=_unfinished(searches),
        evaluations=sum(len(s.evaluations) for s in searches),
        succeeded=sum(int(s.ok.sum()) for s in searches),
        time=duration(seconds[0]),
        spaces=list(dict.fromkeys(s.space_name for s in searches)),
        cautions=list(dict.fromkeys(caution for s in searches for caution in s.cautions)),
        experience=list(dict.fromkeys(line for s in searches for line in s.experience)),
        versions=versions(),
    )
    write_atomically(file, content)
    return file


def _unfinished(searches: list[SearchData]) -> str:
    """The first line of a report on a search that says of itself that it is not finished; else empty."""
    if all(search.finished is not False for search in searches):
        return ""
    made = sum(len(search.evaluations) for search in searches)
    whole = "" if searches[0].budget is None else f" of {searches[0].budget}"
    return f"Unfinished: {made}{whole} evaluations are made. Everything below is computed from these."


def _section(search: SearchData) -> Section:
    importance, mattered = _importance(search)
    figures = draw_search(search, importance)
    folder = search.folder
    _write_tables(search, importance)
    drawing = best_drawing(search)
    return Section(
        search,
        found_words(search),
        "" if drawing is None else image(drawing.svg),
        "" if drawing is None else drawing.scene.text,
        {f.name: (f, image(folder / "figures" / f"{f.name}.svg")) for f in figures},
        [_row(search, i) for i in search.best_first(BEST)],
        [_row(search, i) for i in search.front],
        mattered,
        _importance_rows(search, importance),
        cost_rows(search),
    )


def best_drawing(search: SearchData) -> Drawing | None:
    """The picture of the best architecture; None where there is none to be drawn."""
    found = parsed_best(search)
    return None if found is None else drawing_of(*found)


def found_words(search: SearchData) -> str:
    """What was found, in a sentence."""
    made = len(search.evaluations)
    if search.best is None and search.ok.any():
        return f"None of {made} evaluations keeps to the limits: {', '.join(search.limits)}."
    if search.best is None:
        return f"None of {made} evaluations succeeded." if made else "No evaluation is finished yet."
    value = format_number(float(search.values(0)[search.best]))
    after = duration(float(search.seconds[: search.best + 1].sum()))
    return (
        f"{search.metric.name} {value}, found by evaluation {search.best + 1} of {made}, after {after} of "
        "evaluations."
    )


def duration(seconds: float) -> str:
    """A time as people say it."""
    value, unit = in_units(np.array([seconds], dtype=np.float64))
    return f"{value[0]:.3g} {_SHORT.get(unit, unit)}"


def _row(search: SearchData, i: int) -> list[Any]:
    """Number, metrics and string of an evaluation."""
    values = [float(search.values(m)[i]) for m in range(len(search.metrics))]
    return [i + 1, *values, search.evaluations[i].architecture]


def _importance(search: SearchData) -> tuple[Importance | None, str]:
    """Importances, and what they say in sentences."""
    try:
        importance = search.importance
    except ImportError:
        return (
            None,
            "Importances need scikit-learn: pip install 'archwalk[search]', then make the report again.",
        )
    succeeded = int(search.ok.sum())
    if search.unknown_space:
        return None, f"{search.unknown_space} So its slots cannot be told apart."
    if importance is None:
        if succeeded < LEAST:
            return None, f"{succeeded} evaluations succeeded; importances are computed from {LEAST} on."
        return None, "All values or all architectures are equal: nothing can be said."
    explained = f"{100 * importance.explained:.0f} %"
    if importance.explained <= 0:
        said = "A random forest explains nothing of the values of architectures that it has not seen"
        return importance, f"{said} (R² {importance.explained:.2f}): no slot can be said to matter."
    sure = np.flatnonzero(importance.low > 0)
    sure = sure[np.argsort(-importance.mean[sure], kind="stable")]
    named = ", ".join(search.slots[s] for s in sure[:NAMED])
    more = f" and {len(sure) - NAMED} more" if len(sure) > NAMED else ""
    which = (
        f"{named}{more} mattered" if len(sure) else "no slot can be said to matter: every interval reaches 0"
    )
    return importance, (
        f"A random forest explains {explained} of the variance of the ranks of {search.metric.name} on "
        f"architectures that it has not seen ({importance.architectures} evaluations); {which}. The search "
        "chose these architectures, not chance, so this holds where it looked; intervals are not corrected "
        "for the number of slots."
    )


def _importance_rows(search: SearchData, importance: Importance | None) -> list[list[Any]]:
    """Slot, importance and its interval, the largest first; slots with one choice throughout come last."""
    if importance is None:
        return []
    order = np.argsort(-np.nan_to_num(importance.mean, nan=-np.inf), kind="stable")
    return [
        [search.slots[s], float(importance.mean[s]), float(importance.low[s]), float(importance.high[s])]
        for s in order
    ]


def cost_rows(search: SearchData) -> list[list[Any]]:
    """By status: evaluations, their time in all, the median and the longest, in seconds."""
    rows: list[list[Any]] = []
    for status in dict.fromkeys(["ok", *(e.status for e in search.evaluations)]):
        times = np.array([e.seconds for e in search.evaluations if e.status == status])
        if len(times):
            rows.append([status, len(times), float(times.sum()), float(np.median(times)), float(times.max())])
    if len(rows) > 1:
        times = search.seconds
        rows.append(["all", len(times), float(times.sum()), float(np.median(times)), float(times.max())])
    return rows


def _write_tables(search: SearchData, importance: Importance | None) -> None:
    rows = [
        {"evaluation": i + 1, "architecture": e.architecture, "status": e.status}
        | {f"metric_{name}": value for name, value in e.metrics.items()}
        | {"seconds": e.seconds, "message": e.message}
        for i, e in enumerate(search.evaluations)
    ]
    frames = {EVALUATIONS: make_frame(rows)} if rows else {}
    if importance is not None:
        names = ("slot", "importance", "low", "high")
        rows_ = [dict(zip(names, row, strict=True)) for row in _importance_rows(search, importance)]
        frames[IMPORTANCE] = make_frame(rows_)
    for name, frame in frames.items():
        write_atomically(search.folder / "tables" / name, _csv(frame))


def _csv(frame: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.write_csv(buffer)
    return buffer.getvalue()
