"""``StudyData``: the tables of a study folder, as the arrays that figures and tables are made of.

In: a study folder. Out: values by pair of tasks and regime, one a seed; curves; steps to match. Next:
``figures``, ``tables`` and ``summary``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from archwalk.agents.registry import DEFAULT
from archwalk.analysis.curves import Curve, Match, match
from archwalk.analysis.statistics import Interval
from archwalk.errors import BenchmarkError, RunError
from archwalk.reporting.published import Published, published_results
from archwalk.searching.comparing.compare import CURVES as SEARCH_CURVES
from archwalk.searching.comparing.compare import SUMMARY
from archwalk.searching.comparing.comparison import MADE
from archwalk.studies.folder import CURVES, RESULTS, StudyDir
from archwalk.studies.plan import Job, StudyPlan
from archwalk.tasks.registry import load_table
from archwalk.tasks.table import Benchmark
from archwalk.transferring.registry import INITIALISE

Values = NDArray[np.float64]
TRANSFERRED = ("retrain", "fine-tune", "zero-shot")
SHARED = ("scratch", "multi-task", "zero-shot")  # regimes of agents that no transfer method has touched
# What it takes to match an agent from scratch: name → column of curves.parquet, factor, label.
UNITS = {
    "minutes": ("seconds", 1 / 60, "minutes"),
    "trained_steps": ("trained_steps", 1.0, "trained steps"),
    "evaluations": ("evaluations", 1.0, "evaluations"),
}
PUBLISHED_SPACE = "transnas-micro"
SPLIT_WORDS = {"valid": "validation", "train": "training", "none": "only"}
COMPARISONS = "comparisons"  # folder within a study's, with a folder a comparison


@dataclass(frozen=True)
class Comparison:
    """A finished comparison of search methods: target, every evaluation, means at the budgets asked for; and
    the protocol, empty where the benchmark's file says what the reward is."""

    target: str
    curves: pl.DataFrame
    summary: pl.DataFrame
    protocol: str

    @property
    def title(self) -> str:
        """The target and its protocol."""
        return f"{self.target}, {named_protocol(self.protocol)}"


@dataclass(frozen=True)
class StudyData:
    """What a study found, so far.

    Attributes:
        folder: the study.
        plan: what it is for.
        benchmark: what it walked over.
        results: one row an evaluated agent.
        curves: one row an evaluation during training.
        missing: agents that are not done.
        benchmark_path: name or file of the benchmark.
        comparisons: of search methods, that lie in the study's folder.
        algorithm: whose agents ``results`` and ``curves`` are.
        transfer: how they were moved.
        whole: results and curves of all algorithms and transfer methods; None where there is one of each.
    """

    folder: StudyDir
    plan: StudyPlan
    benchmark: Benchmark
    results: pl.DataFrame
    curves: pl.DataFrame
    missing: list[Job]
    benchmark_path: str
    comparisons: tuple[Comparison, ...]
    algorithm: str = DEFAULT
    transfer: str = INITIALISE
    whole: tuple[pl.DataFrame, pl.DataFrame] | None = None

    def of(self, algorithm: str, transfer: str = INITIALISE) -> StudyData:
        """The same study, of the agents of one algorithm, moved in one way."""
        results, curves = self.whole or (self.results, self.curves)
        results, curves = (_of(table, algorithm, transfer) for table in (results, curves))
        return replace(self, results=results, curves=curves, algorithm=algorithm, transfer=transfer)

    @property
    def hours(self) -> float:
        """Wall time of all training of the study, in hours; a fine-tuned agent's is part of its retraining,
        and one of several tasks has a row a task."""
        results = self.whole[0] if self.whole else self.results
        made = results.filter(pl.col("regime").is_in(["scratch", "retrain"]))
        each = [name for name in ("source_task", "seed", "algorithm") if name in results.columns]
        several = results.filter(pl.col("regime") == "multi-task").unique(each)
        return float(pl.concat([made, several])["seconds"].sum()) / 3600

    @property
    def tasks(self) -> tuple[str, ...]:
        """In the order of rows and columns."""
        return self.plan.tasks

    @property
    def of_one_task(self) -> pl.DataFrame:
        """The results of agents that come from one task."""
        return self.results.filter(pl.col("source_task").is_in(self.tasks))

    @property
    def published_space(self) -> bool:
        """Whether the paper's numbers are of this search space."""
        return self.benchmark.space.name == PUBLISHED_SPACE

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """Every (source, target), itself excluded, target by target."""
        return [(a, b) for b in self.tasks for a in self.tasks if a != b]

    @cached_property
    def _by_agent(self) -> dict[tuple[str, str, str], list[dict[str, Any]]]:
        found: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
        for row in self.results.sort("seed").iter_rows(named=True):
            found.setdefault((row["source_task"], row["target_task"], row["regime"]), []).append(row)
        return found

    def values(self, source: str, target: str, regime: str, column: str) -> Values:
        """A column of the results, one value a seed that is done, in order of seeds, [seeds].

        On the diagonal every regime is the agent trained from scratch.
        """
        rows = self._by_agent.get((source, target, "scratch" if source == target else regime), [])
        return np.array([row[column] for row in rows], dtype=np.float64)

    def seeds(self, source: str, target: str, regime: str) -> list[int]:
        """The seeds that ``values`` are of."""
        rows = self._by_agent.get((source, target, "scratch" if source == target else regime), [])
        return [row["seed"] for row in rows]

    def scores(self, regime: str) -> Values:
        """Validation scores of a regime, of the seeds for which it is complete, [seeds, agents]: all pairs of
        different tasks, or all tasks for ``scratch``."""
        agents = [(t, t) for t in self.tasks] if regime == "scratch" else self.pairs
        seeds = [set(self.seeds(a, b, regime)) for a, b in agents]
        columns = []
        for a, b in agents:
            by_seed = zip(
                self.seeds(a, b, regime), self.values(a, b, regime, "validation_score"), strict=True
            )
            columns.append([score for seed, score in by_seed if seed in set.intersection(*seeds)])
        return np.array(columns).T

    @cached_property
    def split(self) -> str:
        """The split that the results are of, in words; where tasks differ, which is which."""
        found = dict(self.results.select("target_task", "split").unique().sort("target_task").iter_rows())
        tasks: dict[str, list[str]] = {}
        split: str
        for task, split in found.items():
            tasks.setdefault(SPLIT_WORDS.get(split) or split, []).append(task)
        if len(tasks) == 1:
            return f"{next(iter(tasks))} split"
        return " or ".join(f"{split} split ({', '.join(tasks[split])})" for split in sorted(tasks))

    def metric(self, task: str) -> str:
        """The metric of a task's reward."""
        return self.benchmark.reward_column(task).metric

    def sign(self, task: str) -> float:
        """1 where a larger metric is better, -1 elsewhere."""
        return 1.0 if self.benchmark.metrics[self.metric(task)].direction == "max" else -1.0

    def percent(self, task: str) -> bool:
        """Whether the task's metric is stored in percent."""
        return self.benchmark.metrics[self.metric(task)].unit == "percent"

    def published(self, regime: str, source: str, target: str) -> Published | None:
        """The published numbers in the table's own unit; None where the paper has none for this space."""
        if not self.published_space:
            return None
        if source == target and regime in TRANSFERRED:
            regime = "scratch"
        found = published_results().get((regime, source, target))
        if found is None or regime in UNITS or not self.percent(target):
            return found
        std = None if found.std is None else 100 * found.std
        return Published(100 * found.mean, std, 100 * found.low, 100 * found.high)

    def runs(self, source: str, target: str, column: str, factor: float = 1.0) -> list[Curve]:
        """Validation score against a cost, a curve a seed."""
        of_pair = self.curves.filter(
            (pl.col("source_task") == source) & (pl.col("target_task") == target)
        ).sort("seed", "trained_steps")
        return [
            Curve(run["validation_score"].to_numpy(), run[column].cast(pl.Float64).to_numpy() * factor)
            for run in of_pair.partition_by("seed")
        ]

    @cached_property
    def _matches(self) -> dict[tuple[str, str, str], Match]:
        found = {}
        for unit, (column, factor, _) in UNITS.items():
            for target in self.tasks:
                scratch = self.runs(target, target, column, factor)
                for source in self.tasks:
                    moved = self.runs(source, target, column, factor)
                    if moved and scratch:
                        found[unit, source, target] = match(moved, scratch)
        return found

    def match(self, unit: str, source: str, target: str) -> Match | None:
        """What it took to match agents from scratch; None if either side has no run yet."""
        return self._matches.get((unit, source, target))


def read_study(path: str | Path, benchmark: str | Path | None = None) -> StudyData:
    """Open a study folder, finished or not; its tables are brought up to date first.

    Args:
        path: the study folder.
        benchmark: name or file, where it is no longer where the study found it.

    Raises:
        RunError: no study, not one agent done, so that there is nothing to report, or a comparison of
            another benchmark, or one that cannot be read.
        BenchmarkError: the benchmark is not found, or is another one.
    """
    folder = StudyDir(path)
    plan = folder.plan()
    where = str(benchmark or plan.benchmark)
    table = load_table(where)
    if table.checksum != plan.checksum:
        raise BenchmarkError(
            f"the benchmark of the study in {path} (checksum {plan.checksum[:12]}…)",
            f"{table.name} with checksum {table.checksum[:12]}…",
            "name the right one with --benchmark",
        )
    folder.collect()
    if not (folder.path / RESULTS).exists():
        raise RunError(
            f"at least one finished agent in {path}", "none", "run 'archwalk study' and let it go on"
        )
    results, curves = pl.read_parquet(folder.path / RESULTS), pl.read_parquet(folder.path / CURVES)
    data = StudyData(
        folder,
        plan,
        table,
        results,
        curves,
        folder.missing(),
        where,
        tuple(read_comparisons(folder.path / COMPARISONS, plan.checksum)),
        whole=(results, curves),
    )
    there = [name for name in plan.algorithms if name in results["algorithm"]]
    return data.of(there[0], plan.transfers[0])


def _of(table: pl.DataFrame, algorithm: str, transfer: str) -> pl.DataFrame:
    """Rows of one algorithm and one transfer method; of a regime that it has not touched the shared ones."""
    own = table.filter((pl.col("algorithm") == algorithm) & (pl.col("transfer") == transfer))
    if transfer == INITIALISE:
        return own
    shared = [regime for regime in SHARED if regime not in own["regime"]]
    initial = (pl.col("algorithm") == algorithm) & (pl.col("transfer") == INITIALISE)
    return pl.concat([table.filter(initial & pl.col("regime").is_in(shared)), own])


def named_protocol(protocol: str) -> str:
    """A protocol as titles name it."""
    return f"protocol {protocol}" if protocol else "the file's reward"


def read_comparisons(folder: Path, checksum: str | None = None) -> Iterator[Comparison]:
    """Those in a folder and up to two below it that have results, by name of their folders.

    Args:
        folder: where to look.
        checksum: of the benchmark that they must be of, if it matters.

    Raises:
        RunError: one that cannot be read, or is of another benchmark.
    """
    for file in sorted(file for depth in ("", "*/", "*/*/") for file in folder.glob(depth + MADE)):
        curves, summary = file.with_name(SEARCH_CURVES), file.with_name(SUMMARY)
        if not (curves.exists() and summary.exists()):
            continue  # still under way
        try:
            made = json.loads(file.read_text("utf-8"))
            other = checksum not in (None, made["checksum"])
            comparison = Comparison(
                made["plan"]["target"], pl.read_csv(curves), pl.read_csv(summary), made.get("protocol", "")
            )
        except (ValueError, KeyError, TypeError, OSError, pl.exceptions.PolarsError) as error:
            raise RunError(
                "a folder made by 'archwalk compare'", f"{file.parent}: {error}", "move it"
            ) from error
        if other:
            got = f"{file.parent}, of another benchmark"
            raise RunError("comparisons on the benchmark of the study", got, "move it elsewhere")
        yield comparison


def format_interval(interval: Interval) -> str:
    """``[low, high]``, or a dash where there is none."""
    low, high = interval
    return "–" if np.isnan(low) else f"[{format_number(low)}, {format_number(high)}]"


def format_number(value: Any) -> str:
    """A number or a word as a reader wants it in a table; a dash where there is none."""
    if value is None or value != value:  # NaN
        return "–"
    if isinstance(value, float):
        return (
            f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.3g}" if abs(value) < 1 else f"{value:.4g}"
        )
    return f"{value:,}" if isinstance(value, int) else str(value)
