"""Every table of the report: results with all statistics, regimes, steps to match, tasks, costs.

In: ``StudyData``. Out: ``Table``, and ``tables/*.csv``. Next: ``summary`` reads them, ``html`` shows them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from archwalk.analysis.correlation import gamma_sweep, kendall_matrix
from archwalk.analysis.statistics import (
    difference_test,
    holm,
    improvement_interval,
    interquartile_mean,
    jackknife_interval,
    mean_interval,
    pooled_starts,
    probability_of_improvement,
)
from archwalk.files import write_atomically
from archwalk.reporting.data import TRANSFERRED, UNITS, StudyData
from archwalk.reporting.policies import policy_rows
from archwalk.reporting.published import published_correlation
from archwalk.reporting.search_figures import search_table
from archwalk.studies.folder import make_frame


@dataclass(frozen=True)
class Table:
    """A table of the report.

    Attributes:
        name: of its file.
        title: as a heading.
        caption: what its columns mean.
        frame: the numbers.
    """

    name: str
    title: str
    caption: str
    frame: pl.DataFrame


def make_tables(data: StudyData) -> dict[str, Table]:
    """All tables, by name."""
    tables = (
        make_regimes(data),
        make_results(data),
        _to_match(data),
        _tasks(data),
        _gamma(data),
        _costs(data),
        *_multitask(data),
        *_search(data),
        *_policies(data),
    )
    return {table.name: table for table in tables}


def write_tables(tables: dict[str, Table], folder: Path) -> None:
    """Each as a CSV file."""
    for table in tables.values():
        write_atomically(folder / f"{table.name}.csv", table.frame.write_csv().encode())


def make_results(data: StudyData) -> Table:
    """One row a pair of tasks and regime, all statistics over its seeds."""
    rows = []
    for target in data.tasks:
        rows.append(_result(data, target, target, "scratch"))
        for source in data.tasks:
            if source != target:
                rows += [_result(data, source, target, regime) for regime in reversed(TRANSFERRED)]
    rows = [row for row in rows if row["seeds"]]
    corrected = holm(np.array([row["p"] for row in rows], dtype=np.float64))
    for row, p in zip(rows, corrected, strict=True):
        row["p_holm"] = None if np.isnan(p) else float(p)
        row["p"] = None if np.isnan(p) else row["p"]
    return Table(
        "results",
        "Every result with its statistics",
        f"Metric on the {data.split}. std, low and high: over seeds (95 % interval of the mean). starts_std, "
        "starts_low, starts_high: over all walks pooled, the way the paper's tight intervals are made; they "
        "say nothing about other seeds. improvement: probability that a seed beats a seed from scratch. p: "
        "Welch's test against scratch, p_holm: corrected for all tests of this table (Holm).",
        make_frame(rows),
    )


def _result(data: StudyData, source: str, target: str, regime: str) -> dict[str, Any]:
    values = data.values(source, target, regime, "mean")
    scratch = data.values(target, target, "scratch", "mean")
    row: dict[str, Any] = {"source": source, "target": target, "regime": regime, "seeds": len(values)}
    if len(values) == 0:
        return row
    row["metric"] = data.metric(target)
    row["mean"] = float(values.mean())
    row["std"] = float(values.std(ddof=1)) if len(values) > 1 else None
    row["low"], row["high"] = mean_interval(values)
    starts = data.values(source, target, regime, "starts")
    row["starts_std"], (row["starts_low"], row["starts_high"]) = pooled_starts(
        values, data.values(source, target, regime, "std"), starts
    )
    published = data.published(regime, source, target)
    row["paper_mean"], row["paper_std"] = published[:2] if published else (None, None)
    for name in ("validation_score", "regret_mean", "rank_percentile_mean", "evaluations"):
        row[name] = float(data.values(source, target, regime, name).mean())
    if regime == "scratch" or len(scratch) == 0:
        return row | {"improvement": None, "improvement_low": None, "improvement_high": None, "p": np.nan}
    ours, theirs = data.sign(target) * values, data.sign(target) * scratch
    row["improvement"] = probability_of_improvement(ours, theirs)
    row["improvement_low"], row["improvement_high"] = improvement_interval(ours, theirs)
    row["p"] = difference_test(ours, theirs)
    return row


def _multitask(data: StudyData) -> list[Table]:
    """One row a task and regime of agents of several tasks, beside those of one task."""
    rows = []
    for several, parts in data.plan.mixtures.items():
        for target in data.tasks:
            if target in parts and len(parts) < len(data.tasks):
                continue  # of all but one the one left out counts
            for regime in ("multi-task",) if target in parts else reversed(TRANSFERRED):
                scores = data.values(several, target, regime, "validation_score")
                if not len(scores):
                    continue
                singles = [target] if target in parts else [task for task in data.tasks if task != target]
                means = [data.values(one, target, regime, "validation_score") for one in singles]
                known = [float(values.mean()) for values in means if len(values)]
                low, high = mean_interval(scores)
                rows.append(
                    {
                        "source": several,
                        "target": target,
                        "regime": regime,
                        "seeds": len(scores),
                        "score": float(scores.mean()),
                        "low": low,
                        "high": high,
                        "best_of_one_task": max(known, default=None),
                        "mean_of_one_task": float(np.mean(known)) if known else None,
                    }
                )
    caption = (
        "Validation scores, means over seeds with 95 % intervals. multi-task: an agent of all, on each; "
        "the others were trained on all tasks but the target. best_of_one_task, mean_of_one_task: agents of "
        "one source task, under the same regime (for multi-task the agent from scratch). All agents were "
        "trained for the same number of steps, so one of several tasks has had fewer on each."
    )
    return [Table("multitask", "Agents of several tasks", caption, make_frame(rows))] if rows else []


def _search(data: StudyData) -> list[Table]:
    frame = search_table(data)
    caption = (
        "Best architecture evaluated within a budget of evaluations, by method and target: rank (1 is best) "
        "and regret by the reward's column, over seeds; wall time of a search. docs/search.md explains the "
        "methods."
    )
    return [] if frame is None else [Table("search", "Searching with few evaluations", caption, frame)]


def make_regimes(data: StudyData) -> Table:
    """One row a regime over all pairs of tasks."""
    rows = []
    for regime in ("scratch", *reversed(TRANSFERRED)):
        scores = data.scores(regime)
        if scores.size == 0:
            continue
        low, high = jackknife_interval(scores, interquartile_mean)
        mean_low, mean_high = mean_interval(scores.mean(1))
        rows.append(
            {
                "regime": regime,
                "seeds": len(scores),
                "agents_a_seed": scores.shape[1],
                "iqm": interquartile_mean(scores),
                "iqm_low": low,
                "iqm_high": high,
                "mean": float(scores.mean()),
                "mean_low": mean_low,
                "mean_high": mean_high,
            }
        )
    return Table(
        "regimes",
        "Validation score by regime, over all pairs of tasks",
        "0 is a random architecture, 1 the best by validation. iqm: interquartile mean over pairs and seeds; "
        "intervals are 95 %, with whole seeds as the unit. Only seeds for which a regime is complete.",
        make_frame(rows),
    )


def _to_match(data: StudyData) -> Table:
    """One row a unit and pair of tasks: figures 12 and 13, and evaluations."""
    rows = []
    for unit in UNITS:
        for target in data.tasks:
            for source in data.tasks:
                found = data.match(unit, source, target)
                if found is None:
                    continue
                low, high = found.interval
                published = data.published(unit, source, target)
                rows.append(
                    {
                        "unit": unit,
                        "source": source,
                        "target": target,
                        "pairs": found.cost.size,
                        "censored": found.censored,
                        "mean": found.mean,
                        "std": found.std,
                        "low": low,
                        "high": high,
                        "mean_reached": found.mean_reached,
                        "paper_mean": published.mean if published else None,
                        "paper_low": published.low if published else None,
                        "paper_high": published.high if published else None,
                    }
                )
    return Table(
        "to_match",
        "Cost to match an agent from scratch (figures 12 and 13, and evaluations)",
        "Over all pairs of a transferred run and a run from scratch. censored: pairs that never matched; in "
        "mean, std, low and high they count with the run's whole cost, so that the mean is a lower bound; "
        "mean_reached leaves them out. The interval has seeds on both sides as units.",
        make_frame(rows),
    )


def _tasks(data: StudyData) -> Table:
    """Kendall's tau, one row a pair of tasks."""
    tau = kendall_matrix([data.benchmark.reward(task) for task in data.tasks])
    published = published_correlation() if data.published_space else {}
    rows = [
        {"task": a, "other": b, "tau": float(tau[i, j]), "paper_tau": published.get((a, b))}
        for i, a in enumerate(data.tasks)
        for j, b in enumerate(data.tasks)
        if i < j
    ]
    return Table(
        "task_correlation",
        "Agreement between tasks (figure 1)",
        "Kendall's tau-b of the reward columns over the whole space.",
        make_frame(rows),
    )


def _gamma(data: StudyData) -> Table:
    """The γ of the largest spread, one row a task without negative rewards."""
    rows = []
    for task in data.tasks:
        rewards = data.benchmark.reward(task)
        if rewards.min() < 0:
            continue
        sweep = gamma_sweep(rewards)
        rows.append(
            {
                "task": task,
                "used": data.plan.settings.reward.gamma.get(task),
                "best_by_standard_deviation": sweep.best_deviation,
                "best_by_extent": sweep.best_extent,
                "paper": 0.478 if data.published_space and task == "segmentsemantic" else None,
            }
        )
    return Table(
        "gamma",
        "The γ of the largest spread of rewards (figure 4)",
        "Spread as standard deviation, and as largest minus smallest reward. used: the γ of the settings.",
        make_frame(rows),
    )


def _policies(data: StudyData) -> list[Table]:
    """Policies of other libraries, where there are any in the study's folder."""
    rows = policy_rows(data.folder.path, data.benchmark.checksum)
    caption = (
        "Walks of other libraries' policies from every start, as of agents. mean: of the metric on the "
        "split; low and high: 95 % interval over seeds."
    )
    return [Table("policies", "Policies of other libraries", caption, make_frame(rows))] if rows else []


def _costs(data: StudyData) -> Table:
    """What the agents of each regime cost on average, beyond their sources."""
    frame = (
        data.of_one_task.group_by("regime", maintain_order=True)
        .agg(
            pl.len().alias("agents"),
            *(
                pl.col(name).mean()
                for name in ("trained_steps", "sampled_steps", "evaluations", "evaluation_hours")
            ),
            (pl.col("seconds").mean() / 60).alias("minutes"),
            pl.col("source_trained_steps").mean(),
        )
        .sort(
            pl.col("regime").replace_strict({r: i for i, r in enumerate(("scratch", *reversed(TRANSFERRED)))})
        )
    )
    return Table(
        "costs",
        "What an agent costs",
        "Means over agents, beyond what went into their sources. evaluations: distinct architectures "
        "evaluated on the target task; evaluation_hours: the hours it took to train those, where known.",
        frame,
    )
