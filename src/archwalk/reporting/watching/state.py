"""What the page shows of a folder at a moment: finished numbers, sentences, pictures.

In: the folder of a search or a study, in whatever state its writer has left it. Out: HTML within the page's
frame. Next: ``server`` sends it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from archwalk.errors import ArchwalkError
from archwalk.reporting.page import image, render
from archwalk.reporting.searches.data import Failure, SearchData, read_searches
from archwalk.reporting.searches.figures import frame_of
from archwalk.reporting.searches.page import best_drawing, duration, found_words
from archwalk.reporting.watching.chart import Line, chart
from archwalk.searching.experience.past import CACHE, JOINT
from archwalk.searching.results import RESULT
from archwalk.studies.folder import STUDY, StudyDir
from archwalk.studies.plan import Job
from archwalk.tasks.ledger import count_begun
from archwalk.training.loop import Row
from archwalk.training.rundir import METRICS

LATEST = 8  # evaluations, and agents under way, that are listed
NARROW = 440.0  # pixels of a drawing that fits beside the chart
POINTS = 400  # of a line; more cannot be told apart on the page


@dataclass(frozen=True)
class LiveTask:
    """What the page says of a task that is searched."""

    name: str
    found: str
    chart: str
    chart_words: str
    drawing: str
    drawing_words: str
    wide: bool
    metrics: list[str]
    latest: list[list[Any]]
    failures: list[Failure]


@dataclass(frozen=True)
class View:
    """What is shown, and how it is told apart from what was shown before.

    Attributes:
        html: within the page's frame.
        title: of the browser's window.
    """

    html: bytes
    title: str


def look(folder: Path) -> View:
    """What there is to see now. What cannot be read yet is said in a line, and tried again."""
    try:
        if (folder / STUDY).exists():
            return _study(folder)
        if (folder / CACHE).exists() or (folder / JOINT).exists():
            return _search(folder)
        said = "Nothing has begun in this folder yet."
    except ArchwalkError as error:
        said = f"Waiting for {error.expected}: {error.got}."
    except (OSError, ValueError, KeyError, TypeError) as error:  # a file that goes while it is read
        said = f"The folder cannot be read at this moment ({type(error).__name__})."
    return View(render("live.html.j2", kind="waiting", said=said, changed=0), "waiting")


def marks(folder: Path) -> tuple[tuple[str, int, int], ...]:
    """Size and time of every file that the page depends on: equal, nothing has changed."""
    if (folder / STUDY).exists():
        files = [folder / STUDY, *(folder / "runs").glob("seed-*/from-*/*.json")]
        files += (folder / "runs").glob(f"seed-*/from-*/on-*/{METRICS}")
    else:
        names = [CACHE, f"{CACHE}-wal", RESULT, JOINT]
        files = [folder / name for name in names] + [p for name in names for p in folder.glob(f"*/{name}")]
    found = []
    for file in sorted(files):
        try:
            state = file.stat()
            found.append((str(file), state.st_size, state.st_mtime_ns))
        except OSError:
            continue
    return tuple(found)


def _changed(folder: Path) -> int:
    """When anything changed last, in seconds since 1970."""
    return max((time_ns for _, _, time_ns in marks(folder)), default=0) // 10**9


# ---- searches


def _search(folder: Path) -> View:
    searches = read_searches(folder)
    made = sum(len(s.evaluations) for s in searches)
    succeeded = sum(int(s.ok.sum()) for s in searches)
    seconds = float(sum(s.seconds.sum() for s in searches))
    begun = sum(count_begun(s.folder / CACHE) for s in searches)
    budget = searches[0].budget  # of all tasks together
    finished = all(s.finished for s in searches)
    facts = [
        (f"{made:,}" if budget is None else f"{made:,} of {budget:,}", "evaluations"),
        (f"{made - succeeded:,}", "of them failed"),
        (duration(seconds), "of evaluations in all"),
    ]
    if made:
        facts.append((duration(seconds / made), "an evaluation"))
    if any(s.limits for s in searches):
        facts.append((f"{sum(s.infeasible for s in searches):,}", "break a limit"))
    if finished:
        facts.append(("finished", "the search"))
    else:
        facts.append((f"{begun:,}", "begun, not finished"))
        if budget is not None and made:
            left = max(budget - made, 0) * seconds / made / max(begun, 1)
            facts.append((duration(left), "left, if it goes on like this"))
    if len(searches) == 1 and searches[0].best is not None:
        value = float(searches[0].values(0)[searches[0].best])
        facts.insert(0, (f"{value:.5g}", f"best {searches[0].metric.name}"))
    html = render(
        "live.html.j2",
        kind="search",
        changed=_changed(folder),
        facts=facts,
        progress=None if budget is None else (made, budget),
        tasks=[_task(search) for search in searches],
        cautions=[caution for s in searches for caution in s.cautions],
    )
    done = f"{made}" if budget is None else f"{made}/{budget}"
    return View(html, f"{done} evaluations{', finished' if finished else ''}")


def _task(search: SearchData) -> LiveTask:
    drawing = best_drawing(search)
    metric = search.metric
    values, numbers = search.values(0), np.arange(1, len(search.evaluations) + 1)
    svg = ""
    words = found_words(search)
    if search.best is not None:
        first = int(np.flatnonzero(search.feasible)[0])
        best = list(zip(numbers[first:].tolist(), search.best_so_far[first:].tolist(), strict=True))
        dots = list(zip(numbers[search.ok].tolist(), values[search.ok].tolist(), strict=True))
        svg = chart(
            "Best value so far",
            words,
            ("evaluations", metric.name),
            [Line(_thinned(best), "best so far", steps=True)],
            dots[-POINTS:],
            frame_of(values[search.ok], metric),
        )
    latest = [
        [
            i + 1,
            e.status,
            *(e.metrics.get(m.name) for m in search.metrics),
            duration(e.seconds),
            e.architecture,
        ]
        for i, e in list(enumerate(search.evaluations))[: -LATEST - 1 : -1]
    ]
    return LiveTask(
        search.name,
        words,
        image(svg) if svg else "",
        words,
        image(drawing.svg) if drawing else "",
        drawing.scene.text if drawing else "",
        drawing is not None and drawing.scene.width > NARROW,
        [m.name for m in search.metrics],
        latest,
        search.failures,
    )


def _thinned(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Of points on steps those where something changes, and the last."""
    kept = [p for i, p in enumerate(points) if i == 0 or p[1] != points[i - 1][1]]
    return kept if not points or kept[-1] == points[-1] else [*kept, points[-1]]


# ---- studies


def _study(folder: Path) -> View:
    study = StudyDir(folder)
    plan = study.plan()
    jobs = plan.jobs()
    done = {job for job in jobs if study.done(job)}
    begun = [job for job in jobs if (study.run(job).path / METRICS).exists()]
    begun.sort(key=lambda job: -(study.run(job).path / METRICS).stat().st_mtime)
    rows = {job: study.run(job).rows() for i, job in enumerate(begun) if i < LATEST or job not in done}
    under_way = [job for job in begun if job not in done and rows[job]]
    steps = {job: int(rows[job][-1]["trained_steps"]) for job in under_way}
    trained = len(done) * plan.steps_a_job + sum(min(s, plan.steps_a_job) for s in steps.values())
    scores = {job: _scores(of) for job, of in rows.items()}
    lines = [Line(scores[job][-POINTS:], str(job)) for job in begun[:LATEST] if scores[job]]
    total = len(jobs) * plan.steps_a_job
    words = f"{len(done)} of {len(jobs)} agents are done."
    facts = [
        (f"{len(done):,} of {len(jobs):,}", "agents done"),
        (f"{len(under_way):,}", "begun, not done"),
        (f"{100 * trained / total:.0f} %", f"of {total:,} trained steps"),
        (plan.benchmark, "benchmark"),
    ]
    if done:
        latest = [job for job in begun if job in done][:LATEST]
        each = float(np.mean([study.run(job).costs().seconds for job in latest]))
        facts.append((duration(each), "a finished agent took"))
        if under_way:
            left = (total - trained) / plan.steps_a_job * each / len(under_way)
            facts.append((duration(left), "left, if it goes on like this"))
    svg = chart("Validation score in training", words, ("trained steps", "validation score"), lines)
    html = render(
        "live.html.j2",
        kind="study",
        changed=_changed(folder),
        facts=facts,
        progress=(trained, total),
        chart=image(svg) if lines else "",
        chart_words=f"Validation score against trained steps of {len(lines)} agents. {words}",
        agents=[
            [str(job), steps[job], scores[job][-1][1] if scores[job] else None] for job in under_way[:LATEST]
        ],
        grid=_grid(jobs, done, set(under_way)),
        tasks_of_study=list(plan.tasks),
        seeds=plan.seeds,
    )
    return View(html, f"{len(done)}/{len(jobs)} agents")


def _scores(rows: list[Row]) -> list[tuple[float, float]]:
    """(trained steps, validation score) of an agent's evaluations in training."""
    return [
        (float(row["trained_steps"]), float(row["greedy_validation_score"]))
        for row in rows
        if row.get("greedy_validation_score") is not None
    ]


def _grid(jobs: list[Job], done: set[Job], begun: set[Job]) -> dict[tuple[str, str], tuple[int, int]]:
    """(source, target) → agents done and begun."""
    grid: dict[tuple[str, str], tuple[int, int]] = {}
    for job in jobs:
        finished, started = grid.get((job.source_task, job.target_task), (0, 0))
        grid[job.source_task, job.target_task] = (finished + (job in done), started + (job in begun))
    return grid
