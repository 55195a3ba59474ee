"""Numbers of the data card: how tasks spread, agree, and how much of it is the seed.

In: the shipped table and ``seeds.parquet``. Out: ``TaskSummary`` a task, rank correlations, text. Next:
``card`` draws them.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import as_file, files

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.stats import kendalltau, rankdata

from archwalk.tasks.table import Benchmark

Values = NDArray[np.float64]


@dataclass(frozen=True)
class TaskSummary:
    """What the card says about one task; metrics in the stored unit.

    Attributes:
        task: its name.
        metric: its metric.
        worst: smallest validation value over the cells.
        low: 10 % quantile of the validation values.
        median: of the validation values.
        high: 90 % quantile.
        best: largest validation value.
        noise: standard deviation of the validation value over seeds, pooled over the repeated cells.
        rank_noise: share of the variance of ranks within a seed that is variance over seeds.
        seed_tau: Kendall's tau between two seeds, mean over pairs of seeds.
        repeated: number of cells measured with every seed.
        seeds: number of seeds.
        valid_test: Kendall's tau between validation and test over the cells.
        climbs: share of all starts from which a hill climb ends at the best validation value.
        reached: mean over all starts of (value at the climb's end − median) / (best − median).
    """

    task: str
    metric: str
    worst: float
    low: float
    median: float
    high: float
    best: float
    noise: float
    rank_noise: float
    seed_tau: float
    repeated: int
    seeds: int
    valid_test: float
    climbs: float
    reached: float

    @property
    def lead(self) -> float:
        """How many noise standard deviations the best cell lies above the median."""
        return (self.best - self.median) / self.noise


def open_seeds() -> pl.DataFrame:
    """The shipped seed measurements: arch, task, seed, train, valid, test."""
    with as_file(files("archwalk.datasets.digits") / "seeds.parquet") as path:
        return pl.read_parquet(path)


def summarise(benchmark: Benchmark, seeds: pl.DataFrame) -> list[TaskSummary]:
    """One summary a task, in the order of ``benchmark.tasks``."""
    return [_summarise(benchmark, task, seed_matrix(seeds, task)) for task in benchmark.tasks]


def _summarise(benchmark: Benchmark, task: str, repeated: Values) -> TaskSummary:
    valid, test = benchmark.values(task), benchmark.values(task, "test")
    worst, low, median, high, best = np.quantile(valid, [0, 0.1, 0.5, 0.9, 1])
    ends = valid[climb(valid, benchmark.neighbours)]
    return TaskSummary(
        task,
        benchmark.reward_column(task).metric,
        float(worst),
        float(low),
        float(median),
        float(high),
        float(best),
        noise=float(np.sqrt(repeated.var(0, ddof=1).mean())),
        rank_noise=rank_noise(repeated),
        seed_tau=float(np.mean([tau(a, b) for i, a in enumerate(repeated) for b in repeated[:i]])),
        repeated=repeated.shape[1],
        seeds=repeated.shape[0],
        valid_test=tau(valid, test),
        climbs=float((ends == best).mean()),
        reached=float(((ends - median) / (best - median)).mean()),
    )


def seed_matrix(seeds: pl.DataFrame, task: str) -> Values:
    """Validation values, [seeds, cells]."""
    wide = seeds.filter(pl.col("task") == task).pivot("seed", index="arch", values="valid").sort("arch")
    return np.ascontiguousarray(wide.drop("arch").to_numpy().T)


def rank_noise(values: Values) -> float:
    """Share of rank variance that the seed explains, from values [seeds, cells].

    Ranks are taken within each seed; the variance of a cell's rank over seeds, mean over cells, is divided
    by the variance of ranks over cells within a seed. 0: every seed ranks alike; 1: ranks are pure chance.
    """
    ranks = np.stack([rankdata(row) for row in values])
    return float(ranks.var(0, ddof=1).mean() / ranks.var(1, ddof=1).mean())


def tau(a: Values, b: Values) -> float:
    """Kendall's tau-b."""
    return float(kendalltau(a, b).statistic)


def correlations(benchmark: Benchmark, split: str = "valid") -> Values:
    """Kendall's tau between tasks over all cells, [tasks, tasks]."""
    columns = [benchmark.values(task, split) for task in benchmark.tasks]
    return np.array([[tau(a, b) for b in columns] for a in columns])


def climb(values: Values, neighbours: NDArray[np.int32]) -> NDArray[np.int64]:
    """Where a greedy climb from every start ends: it takes the best of all neighbours until none is better.

    Args:
        values: larger is better, [architectures].
        neighbours: indices, [architectures, K].
    """
    best = neighbours[np.arange(len(values)), values[neighbours].argmax(1)]
    step = np.where(values[best] > values, best, np.arange(len(values)))
    at = np.arange(len(values))
    while not np.array_equal(step[at], at):
        at = step[at]
    return at.astype(np.int64)


def text(benchmark: Benchmark, summaries: list[TaskSummary], matrix: Values) -> str:
    """The card's tables in Markdown."""
    lines = [
        "| task | metric | worst | 10 % | median | 90 % | best | noise (sd over seeds) "
        "| best above median, in noise sd | valid-test tau |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for s in summaries:
        spread = " | ".join(f"{v:.4g}" for v in (s.worst, s.low, s.median, s.high, s.best))
        lines.append(
            f"| {s.task} | {s.metric} | {spread} | {s.noise:.2g} | {s.lead:.1f} | {s.valid_test:.2f} |"
        )
    lines += [
        "",
        "| task | repeated cells × seeds | tau between seeds | rank variance explained by the seed "
        "| hill climbs that reach the best | of the way there, mean |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {s.task} | {s.repeated} × {s.seeds} | {s.seed_tau:.2f} | {s.rank_noise:.0%} "
        f"| {s.climbs:.0%} | {s.reached:.2f} |"
        for s in summaries
    ]
    lines += ["", "| tau | " + " | ".join(benchmark.tasks) + " |", "|---" * (1 + len(matrix)) + "|"]
    for task, row in zip(benchmark.tasks, matrix, strict=True):
        lines.append(f"| {task} | " + " | ".join(f"{v:.2f}" for v in row) + " |")
    return "\n".join(lines)
