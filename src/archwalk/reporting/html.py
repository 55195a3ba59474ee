"""``report``: one HTML file that opens offline, with every figure and table beside it as files.

In: the folder of a study, a search or a comparison. Out: ``report.html``, ``figures/*.svg|png``,
``tables/*.csv``. What is said of a study is put together here; of a search in ``searches``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from archwalk.analysis.curves import Match
from archwalk.errors import RunError, SettingsError
from archwalk.files import write_atomically
from archwalk.reporting.data import UNITS, StudyData, format_interval, format_number, read_study
from archwalk.reporting.dimensions import ALGORITHMS, TRANSFERS, dimension_tables, dimensions
from archwalk.reporting.figures import FigureSpec, draw_figures
from archwalk.reporting.page import REPORT, image, render, versions
from archwalk.reporting.searches.comparison import report_comparison
from archwalk.reporting.searches.page import report_search
from archwalk.reporting.summary import answers, cautions, what_is_missing
from archwalk.reporting.tables import Table, make_tables, write_tables
from archwalk.searching.comparing.comparison import MADE
from archwalk.searching.experience.past import CACHE, JOINT
from archwalk.studies.folder import STUDY

# What the paper leaves open: setting → what we assume about it (docs/paper.md has the reasons).
ASSUMPTIONS = {
    "learner.discount": "discount a step",
    "walk.step_limit": "steps after which a walk is cut off",
    "network.feedforward": "inner width of the transformer; the paper gives the latent width only",
    "exploration.base": "base of the exploration ladder",
    "exploration.exponent": "exponent of the exploration ladder",
    "replay.warmup": "steps walked before the first update",
    "training.actor_period": "trained steps between copies to the actors",
    "training.sampled_per_trained": "steps walked a trained step; the paper reports 2 to 3",
}
FIXED_ASSUMPTIONS = (
    "The observation holds no performance value: the agent sees architectures only.",
    "The reward of a step is the shaped validation metric of the architecture it leads to.",
    "Ending a walk, by keeping the architecture or at the limit, cuts no value off (Pardo et al. 2018).",
    "Test metrics are those of the benchmark at the epoch it has them for.",
)


Kind = Literal["study", "search", "comparison"]


def kind_of(folder: str | Path) -> Kind:
    """What a folder holds.

    Raises:
        RunError: none of the three.
    """
    path = Path(folder)
    if (path / STUDY).exists():
        return "study"
    if (path / JOINT).exists() or (path / CACHE).exists():
        return "search"
    if (path / MADE).exists() or any(path.glob(f"*/{MADE}")):
        return "comparison"
    what = "a folder of another kind" if path.is_dir() else "a file" if path.exists() else "no such folder"
    raise RunError(
        f"a study folder ({STUDY}), that of a search ({CACHE} or {JOINT}) or of a comparison ({MADE})",
        f"{path}: {what}",
        "check the path; a single run is described by 'archwalk evaluate'",
    )


def report(run_dir: str | Path, *, benchmark: str | Path | None = None) -> Path:
    """Make the report of a study, a search or a comparison, finished or not; an unfinished study says on its
    first line what is missing.

    Args:
        run_dir: the folder of ``study``, ``search`` or ``compare``.
        benchmark: of a study: name or file, where it is no longer where the study found it.

    Returns:
        The HTML file.

    Raises:
        ArchwalkError: nothing of the kind there, nothing finished in it, a damaged file, another benchmark,
            or an unwritable folder.
    """
    kind = kind_of(run_dir)
    if kind != "study":
        if benchmark is not None:
            raise SettingsError(
                f"no --benchmark with the folder of a {kind}, which says itself what it is of",
                str(benchmark),
                "leave it out",
            )
        return report_search(run_dir) if kind == "search" else report_comparison(run_dir)
    data = read_study(run_dir, benchmark)
    tables = make_tables(data) | dimension_tables(data)
    write_tables(tables, data.folder.path / "tables")
    figures = draw_figures(data, data.folder.path / "figures")
    file = data.folder.path / REPORT
    write_atomically(file, _render(data, tables, figures))
    return file


def _render(data: StudyData, tables: dict[str, Table], figures: list[FigureSpec]) -> bytes:
    drawn = {spec.name: spec for spec in figures}
    answered = answers(data, tables)
    shown = {name for answer in answered for name in answer.figures}
    shown |= {ALGORITHMS, TRANSFERS}
    return render(
        "report.html.j2",
        missing=what_is_missing(data),
        cautions=cautions(data),
        data=data,
        plan=data.plan,
        answers=answered,
        dimensions=dimensions(data, tables),
        drawn=drawn,
        images={name: image(data.folder.path / "figures" / f"{name}.svg") for name in drawn},
        others=[spec for spec in figures if spec.name not in shown],
        tables=tables,
        matches={
            f"{'12' if unit == 'minutes' else '13'}": (label, _match_matrix(data, unit))
            for unit, (_, _, label) in UNITS.items()
            if unit != "evaluations"
        },
        settings=_flat(data.plan.settings.tables(*data.plan.algorithms)),
        assumptions=_assumptions(data),
        fixed_assumptions=FIXED_ASSUMPTIONS,
        versions=versions(),
        hours=format_number(data.hours),
    )


def _match_matrix(data: StudyData, unit: str) -> list[list[list[str]]]:
    """Figure 12 or 13: lines of the cells, [sources][targets]."""
    return [[_match_cell(data, data.match(unit, a, b), unit, a, b) for b in data.tasks] for a in data.tasks]


def _match_cell(data: StudyData, found: Match | None, unit: str, source: str, target: str) -> list[str]:
    if found is None:
        return ["not done"]
    bound = "≥ " if found.censored else ""
    lines = [
        f"{bound}{format_number(found.mean)} ± {format_number(found.std)}",
        format_interval(found.interval),
    ]
    if found.censored:
        lines.append(f"{found.censored} of {found.cost.size} never")
    published = data.published(unit, source, target)
    if published:
        lines.append(f"paper {format_number(published.mean)}")
    return lines


def _flat(values: dict[str, Any]) -> dict[str, Any]:
    return {f"{group}.{name}": value for group, fields in values.items() for name, value in fields.items()}


def _assumptions(data: StudyData) -> list[tuple[str, Any, str]]:
    settings = _flat(data.plan.settings.model_dump())
    return [(name, settings[name], meaning) for name, meaning in ASSUMPTIONS.items()]
