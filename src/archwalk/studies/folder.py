"""``StudyDir``: where the agents and the tables of a study lie.

In: a folder. Out: what is done and what is missing, and the two tables:

    study.toml            what was asked
    runs/seed-0/from-A/on-B/   a run folder an agent; from-A/on-A is trained from scratch
    runs/.../on-B.json    its evaluations: there when the agent is done
    runs/ppo/seed-0/...   of another algorithm than ape-x; of another transfer method one folder further down
    results.parquet       one row an evaluated agent
    curves.parquet        one row an evaluation during training

Next: ``worker`` fills it, ``study`` gives the orders.
"""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import polars as pl

from archwalk.agents.registry import DEFAULT
from archwalk.errors import RunError
from archwalk.files import json_text, write_atomically
from archwalk.studies.plan import Job, Result, StudyPlan, read_plan
from archwalk.tasks.registry import split_protocol
from archwalk.training.evaluation import CURVE
from archwalk.training.rundir import (
    CHECKPOINT,
    COSTS,
    CUT,
    SETTINGS,
    TIMING,
    WEIGHTS,
    RunDir,
    check_free,
    check_same,
    read_lines,
)
from archwalk.transferring.registry import INITIALISE

__all__ = [
    "StudyDir",
]

STUDY, RESULTS, CURVES = "study.toml", "results.parquet", "curves.parquet"
TABLE = "benchmark.parquet"  # the benchmark, where the study's own folder is not: on another node
_COSTS_OF_CURVE = ("trained_steps", "sampled_steps", "evaluations")


class StudyDir:
    """A study folder on disk.

    Args:
        path: the folder; made when the study begins.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def plan(self) -> StudyPlan:
        """What the folder is for. Raises ``RunError`` if it holds no readable study."""
        return read_plan(self.path / STUDY)

    def check(self, plan: StudyPlan) -> None:
        """Refuse a folder that holds another study, or anything else.

        Raises:
            RunError: another benchmark, other tasks or settings, more seeds, algorithms or transfer methods
                than are asked for, or foreign files.
        """
        check_free(self.path, STUDY)
        if not (self.path / STUDY).exists():
            return
        there = self.plan()
        old, new = there.identity(), plan.identity()
        if there.seeds > plan.seeds:
            old["study"]["seeds"], new["study"]["seeds"] = there.seeds, plan.seeds
        if there.multi_task and not plan.multi_task:
            old["study"]["multi_task"], new["study"]["multi_task"] = True, False
        for name in ("algorithms", "transfers"):
            made, asked = getattr(there, name), getattr(plan, name)
            if not set(made) <= set(asked):
                old["study"][name], new["study"][name] = list(made), list(asked)
        new = {group: fields for group, fields in new.items() if group in old}  # not those of new algorithms
        check_same(self.path, old, new)

    def begin(self, plan: StudyPlan) -> None:
        """Write down what is asked. The folder must have passed ``check``."""
        write_atomically(self.path / STUDY, plan.to_toml().encode())

    def run(self, job: Job) -> RunDir:
        """The run folder of an agent."""
        a, b, seed, algorithm, transfer = job
        below = self.path / "runs"
        for name, default in ((algorithm, DEFAULT), (transfer, INITIALISE)):
            if name != default:
                below /= name
        return RunDir(below / f"seed-{seed}" / f"from-{a}" / f"on-{b}")

    def lock(self, job: Job) -> Path:
        """The file to hold while making an agent."""
        return self.run(job).path.with_name(f".on-{job.target_task}.lock")

    def _evaluations(self, job: Job) -> Path:
        return self.run(job).path.with_name(f"on-{job.target_task}.json")

    def write_evaluations(self, job: Job, rows: list[dict[str, Any]]) -> None:
        """Keep an agent's evaluations, which makes it done."""
        write_atomically(self._evaluations(job), json_text(rows).encode())

    def evaluations(self, job: Job) -> list[dict[str, Any]] | None:
        """An agent's evaluations; None while it or its source is not done, or if they cannot be read."""
        if not job.scratch and self.evaluations(job.source) is None:
            return None
        try:
            rows = json.loads(self._evaluations(job).read_text("utf-8"))
        except (OSError, ValueError):
            return None
        return rows if self.run(job).finished else None

    def files(self, job: Job) -> list[str]:
        """What there is of an agent, as names below the folder, each after those that it counts on: nobody
        takes a folder without settings for a run, nor one without evaluations for a done agent."""
        run, last = self.run(job).path, (SETTINGS, "", CHECKPOINT, COSTS, WEIGHTS)

        def rank(file: Path) -> tuple[bool, int]:
            own = file.name in last and file.parent.name != CUT
            return file.parent != run, last.index(file.name) if own else 1

        found = [file for file in run.rglob("*") if file.is_file() and file.name[0] != "."]
        found = sorted(found, key=rank) + [f for f in [self._evaluations(job)] if f.exists()]
        return [str(file.relative_to(self.path)) for file in found]

    def files_to_begin(self, job: Job) -> list[str]:
        """What is needed to make an agent, or to go on with it, as names below the folder."""
        source = [] if job.scratch else self.files(job.source)
        needed = [name for name in source if name.endswith((SETTINGS, WEIGHTS, ".json"))]
        return [STUDY, *needed, *self.files(job)]

    def benchmark(self) -> str:
        """Name or path of the benchmark, wherever this folder is."""
        there, named = self.path / TABLE, self.plan().benchmark
        protocol = split_protocol(named)[1]
        return (f"{there}@{protocol}" if protocol else str(there)) if there.exists() else named

    def done(self, job: Job) -> bool:
        """Whether nothing is left to do for an agent."""
        return self.evaluations(job) is not None

    def missing(self) -> list[Job]:
        """The agents that are not done."""
        return [job for job in self.plan().jobs() if not self.done(job)]

    def collect(self) -> None:
        """Write both tables from whatever is done, each whole or not at all.

        Raises:
            RunError: a run's metrics are not complete, or a file cannot be written.
        """
        plan = self.plan()
        results: list[dict[str, Any]] = []
        curves: list[dict[str, Any]] = []
        for job in plan.jobs():
            evaluations = self.evaluations(job)
            if evaluations is None:
                continue
            for result, row in zip(plan.results(job), evaluations, strict=True):
                results.append(_named(result) | row)
            curves += self._curve(job, plan)
        if not results:
            for name in (RESULTS, CURVES):
                (self.path / name).unlink(missing_ok=True)
            return
        _write_table(self.path / RESULTS, results)
        _write_table(self.path / CURVES, curves)

    def _curve(self, job: Job, plan: StudyPlan) -> list[dict[str, Any]]:
        """The evaluations during an agent's training. A transferred one begins with its zero-shot evaluation,
        at no cost."""
        run = self.run(job)
        rows, times = run.rows(), read_lines(run.path / TIMING)
        if not rows or rows[-1]["trained_steps"] != run.costs().trained_steps or len(times) != len(rows):
            raise RunError(
                f"complete metrics of a finished run in {run.path}",
                f"{len(rows)} rows of metrics and {len(times)} of times",
                "delete this run's folder and run the study again: it makes this run anew",
            )
        by = (job.algorithm, job.transfer)
        name = _named(Result(*job[:2], job.regime, job.seed, *by))
        parts = plan.mixtures.get(job.target_task)
        of_each = [(name, "")]
        if parts:  # a curve a task
            of_each = [(_named(Result(job[0], t, "multi-task", job.seed, *by)), f"/{t}") for t in parts]
        curve = [
            named
            | {column: row[column] for column in _COSTS_OF_CURVE}
            | {"seconds": time["seconds"]}
            | {column: row[f"greedy_{column}{which}"] for column in CURVE}
            for named, which in of_each
            for row, time in zip(rows, times, strict=True)
            if f"greedy_{CURVE[0]}" in row
        ]
        if job.scratch:
            return curve
        as_it_is = Result(*job[:2], "zero-shot", job.seed, job.algorithm)
        evaluations = self.evaluations(job.source) or []  # they are there, or the agent would not be done
        begun = evaluations[plan.results(job.source).index(as_it_is)]
        costs = dict.fromkeys((*_COSTS_OF_CURVE, "seconds"), 0)
        return [name | costs | {column: begun[column] for column in CURVE}, *curve]


def _named(result: Result) -> dict[str, Any]:
    return {k: v for k, v in result._asdict().items() if k != "subfolder"}


def make_frame(rows: list[dict[str, Any]]) -> pl.DataFrame:
    """A table of rows; a column without any value, such as one of a missing split, is of numbers."""
    frame = pl.DataFrame(rows, infer_schema_length=None)
    empty = [name for name, kind in frame.schema.items() if kind == pl.Null]
    return frame.with_columns(pl.col(empty).cast(pl.Float64)) if empty else frame


def _write_table(file: Path, rows: list[dict[str, Any]]) -> None:
    buffer = io.BytesIO()
    make_frame(rows).write_parquet(buffer)
    write_atomically(file, buffer.getvalue())
