"""Our study at the preset ``paper`` over the published one: the same figures in the same axes, and numbers.

    python benchmarks/overlay.py --benchmark micro.parquet --results docs/results/published-settings

Reads ``rows.csv`` and ``curves.csv`` (``benchmarks/published.py collect``) and the published numbers of the
package. Writes ``figures/`` and ``numbers.md``. The paper's definitions: test metric, mean over starts with
intervals over starts (figures 5 to 7), curves smoothed over 16 evaluations (8 and 9), all-to-all steps to
match the last level of agents from scratch (11). Theirs are of 10^7 trained steps, ours of 2 x 10^6 from
scratch and 10^6 after a transfer; ours are test metrics of the best epoch, theirs of the last.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from archwalk.analysis.curves import Curve, Match, match, moving_average
from archwalk.analysis.statistics import mean_interval, pooled_starts
from archwalk.files import write_atomically
from archwalk.reporting.published import Published, published_results
from archwalk.reporting.style import MARKERS, SCRATCH_COLOUR, colour, looks, save, task_panels
from archwalk.tasks.registry import load_table
from archwalk.tasks.table import Benchmark

TASKS = ("autoencoder", "class_object", "room_layout", "segmentsemantic")
PAIRS = [(a, b) for b in TASKS for a in TASKS if a != b]
# Name here, published name, regime and trained steps in rows.csv.
REGIMES = (
    ("zero-shot", "zero-shot", "zero-shot", 0),
    ("fine-tune 10⁵", "fine-tune", "fine-tune", 100_000),
    ("fine-tune 2·10⁵", "fine-tune", "retrain", 200_000),
    ("retrain 10⁶", "retrain", "retrain", 1_000_000),
)
LEVEL: dict[str, Any] = {"color": SCRATCH_COLOUR, "linewidth": 0.8, "linestyle": ":"}  # median, and best
UPDATE = 1_000  # trained steps: more than one update's
Values = NDArray[np.float64]


@dataclass(frozen=True)
class Agents:
    """Some agents, one a seed: test metric over their walks, in the unit of the paper."""

    mean: Values
    std: Values
    score: Values
    starts: Values

    def __len__(self) -> int:
        return len(self.mean)


class Ours:
    """What ``collect`` wrote, in the paper's units."""

    def __init__(self, folder: Path, table: Benchmark) -> None:
        self.rows, self.curves = pl.read_csv(folder / "rows.csv"), pl.read_csv(folder / "curves.csv")
        self.table = table
        self.seeds = sorted(self.rows["seed"].unique())

    def factor(self, task: str) -> float:
        """Percent as fractions, as the paper has them."""
        return 0.01 if self.table.metrics[self.table.reward_column(task).metric].unit == "percent" else 1.0

    def agents(self, source: str, target: str, regime: str, steps: int = 0) -> Agents:
        """Those of a regime, within one update of so many trained steps."""
        found = self.rows.filter(
            (pl.col("source") == source) & (pl.col("target") == target) & (pl.col("regime") == regime)
        )
        if steps:
            found = found.filter((pl.col("trained_steps") - steps).abs() < UPDATE)
        found, f = found.sort("seed"), self.factor(target)
        mean, std = found["test_mean"].to_numpy() * f, found["test_std"].to_numpy() * f
        return Agents(
            mean, std, found["validation_score"].to_numpy(), found["starts"].to_numpy().astype(float)
        )

    def scratch(self, task: str) -> Agents:
        return self.agents(task, task, "scratch")

    def runs(self, source: str, target: str, column: str = "test_mean") -> list[Curve]:
        """Curves against trained steps; a transferred one begins as it was."""
        found = self.curves.filter((pl.col("source") == source) & (pl.col("target") == target))
        f = self.factor(target) if column == "test_mean" else 1.0
        curves = []
        for run in found.sort("seed", "trained_steps").partition_by("seed", maintain_order=True):
            score, cost = run[column].to_numpy() * f, run["trained_steps"].to_numpy().astype(float)
            before = self.rows.filter(
                (pl.col("source") == source)
                & (pl.col("target") == target)
                & (pl.col("regime") == "zero-shot")
                & (pl.col("seed") == run["seed"][0])
            )
            if len(before):
                score = np.concatenate([before[column].to_numpy() * f, score])
                cost = np.concatenate([[0.0], cost])
            curves.append(Curve(score, cost))
        return curves

    def levels(self, task: str) -> tuple[float, float]:
        """Test metric of the median architecture, and of the one that is best by the reward's column."""
        f, test = self.factor(task), self.table.columns[self.table.column(task, "test")]
        best = int(self.table.reward(task).argmax())
        return float(np.median(test)) * f, float(test[best]) * f

    def to_match(self, source: str, target: str) -> Match | None:
        """By the validation score, as a practitioner would, smoothed as the paper's."""
        moved = self.runs(source, target, "validation_score")
        reference = self.runs(target, target, "validation_score")
        return match(moved, reference) if moved and reference else None


def published(regime: str, source: str, target: str) -> Published | None:
    own = source == target and regime != "trained_steps"
    return published_results().get(("scratch" if own else regime, source, target))


def performance(ours: Ours) -> Figure:
    """Figures 5 to 7 in one: a panel a target; open: published, filled: ours."""
    figure, panels = task_panels(len(TASKS), 3.1)
    for axes, target in zip(panels, TASKS, strict=True):
        groups = ["scratch", *(name for name, *_ in REGIMES)]
        for i, source in enumerate(TASKS):
            kinds = [("scratch", "scratch", "scratch", 0)] if source == target else REGIMES
            for name, theirs, regime, steps in kinds:
                at = groups.index(name) + (0.0 if name == "scratch" else (i - 1.5) * 0.2)
                found = ours.agents(source, target, regime, steps)
                if len(found):
                    spread, _ = pooled_starts(found.mean, found.std, found.starts)
                    mark(axes, at + 0.04, found.mean.mean(), spread, i, filled=True)
                if (there := published(theirs, source, target)) is not None:
                    mark(axes, at - 0.04, there.mean, there.std or 0.0, i, filled=False)
        for level in ours.levels(target):
            axes.axhline(level, **LEVEL)
        axes.set_xticks(range(len(groups)), [g.replace(" ", "\n") for g in groups], fontsize=7.5)
        axes.set_xlim(-0.6, 4.6)
        axes.set_title(target)
        axes.set_ylabel(f"test {ours.table.reward_column(target).metric}")
        axes.grid(axis="x", visible=False)
    for i, task in enumerate(TASKS):
        panels[0].plot([], [], color=colour(i), marker=MARKERS[i], linestyle="", label=f"from {task}")
    ink = {"color": "#555555", "linestyle": "", "marker": "o"}
    panels[0].plot([], [], markerfacecolor="white", label="published, 10⁷ (10⁶ fine-tuned)", **ink)
    panels[0].plot([], [], label="ours, ± deviation over starts", **ink)
    panels[0].plot([], [], label="median, best by validation", **LEVEL)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure


def mark(axes: Axes, at: float, mean: float, std: float, task: int, *, filled: bool) -> None:
    ink = colour(task)
    axes.errorbar(
        at,
        mean,
        std,
        color=ink,
        marker=MARKERS[task],
        markersize=4.5,
        markerfacecolor=ink if filled else "white",
        linewidth=0.8,
    )


def curves(ours: Ours, most: float) -> Figure:
    """Figures 8 and 9: the published ones are plots without numbers, so their ends stand here as lines."""
    figure, panels = task_panels(len(TASKS), 2.9)
    for axes, target in zip(panels, TASKS, strict=True):
        for i, source in enumerate(TASKS):
            own = source == target
            ink = SCRATCH_COLOUR if own else colour(i)
            for run in ours.runs(source, target):
                shown = run.cost <= most
                axes.plot(
                    run.cost[shown], moving_average(run.score)[shown], color=ink, linewidth=2 if own else 1.3
                )
            end = published("retrain", source, target)
            if end is not None:
                axes.axhline(end.mean, color=ink, linewidth=0.9, linestyle="--")
        for level in ours.levels(target):
            axes.axhline(level, **LEVEL)
        axes.set_xlim(0, most)
        axes.ticklabel_format(axis="x", style="sci", scilimits=(0, 0))
        axes.set_title(target)
        axes.set_xlabel("trained steps")
        axes.set_ylabel(f"test {ours.table.reward_column(target).metric}")
    for i, task in enumerate(TASKS):
        panels[0].plot([], [], color=colour(i), label=f"from {task}")
    panels[0].plot([], [], color=SCRATCH_COLOUR, linewidth=2, label="from scratch")
    panels[0].plot([], [], color="#555555", linestyle="--", linewidth=0.9, label="published, at the end")
    panels[0].plot([], [], label="median, best by validation", **LEVEL)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure


def steps_to_match(ours: Ours) -> Figure:
    """Figure 11: bars published, points ours; an arrow where a run did not get there."""
    figure = Figure(figsize=(7.8, 3.8))
    axes = figure.subplots()
    for j, target in enumerate(TASKS):
        for i, source in enumerate(TASKS):
            at = j + (i - 1.5) * 0.2
            there = published("trained_steps", source, target)
            if there is not None:
                hatch = "////" if source == target else None
                axes.bar(at - 0.04, there.mean, 0.09, color=colour(i), alpha=0.45, hatch=hatch)
                error = [[max(there.mean - there.low, 0.0)], [max(there.high - there.mean, 0.0)]]
                axes.errorbar(at - 0.04, there.mean, error, color=SCRATCH_COLOUR, linewidth=0.8, capsize=1.5)
            found = ours.to_match(source, target)
            if found is not None:
                cost = max(found.mean, 1_000.0)  # zero cannot be shown on this scale
                axes.plot(at + 0.05, cost, MARKERS[i], color=colour(i), markeredgecolor="black", markersize=5)
                if found.censored:
                    axes.annotate("▲", (at + 0.05, cost * 1.25), ha="center", fontsize=7)
    axes.set_yscale("log")
    axes.set_xticks(range(len(TASKS)), [f"to {task}" for task in TASKS])
    axes.set_ylabel("trained steps to match")
    axes.grid(axis="x", visible=False)
    for i, task in enumerate(TASKS):
        axes.bar([0], [np.nan], color=colour(i), label=f"from {task}")
    axes.bar([0], [np.nan], color="#bbbbbb", label="bar: published, to its level at 10⁷")
    axes.plot([], [], "o", color="#555555", label="point: ours, to ours at 2·10⁶ (0 as 10³); ▲ not reached")
    figure.legend(loc="outside lower center", ncols=2)
    return figure


def better(ours: Ours, regime: str, steps: int) -> list[tuple[str, str, float]]:
    """Pairs, and how much better the transferred agents are than those from scratch, by the test metric."""
    found = []
    for a, b in PAIRS:
        moved, reference = ours.agents(a, b, regime, steps), ours.scratch(b)
        if len(moved) and len(reference):
            found.append((a, b, float(moved.mean.mean() - reference.mean.mean())))
    return found


def table_of(ours: Ours) -> list[str]:
    """Every agent beside the published one."""
    lines = [
        "| to | from | regime | published | ours, ± deviation over starts | validation score |",
        "|---|---|---|---|---|---|",
    ]
    for target in TASKS:
        for source in TASKS:
            own = source == target
            kinds = (("scratch 2·10⁶", "scratch", "scratch", 0),) if own else REGIMES
            for name, theirs, regime, steps in kinds:
                found = ours.agents(source, target, regime, steps)
                if not len(found):
                    continue
                there = published(theirs, source, target)
                said = f"{there.mean:.3f} ± {there.std:.3f}" if there and there.std is not None else "–"
                spread, _ = pooled_starts(found.mean, found.std, found.starts)
                interval = mean_interval(found.score)
                score = f"{found.score.mean():.3f}"
                if len(found) > 1:
                    score += f" [{interval.low:.3f}, {interval.high:.3f}]"
                whose = "itself" if own else source
                got = f"{found.mean.mean():.3f} ± {spread:.3f}"
                lines.append(f"| {target} | {whose} | {name} | {said} | {got} | {score} |")
    return lines


def matching_table(ours: Ours) -> list[str]:
    lines = [
        "| to | from | published steps | ours | ours / own agent from scratch | published / own |",
        "|---|---|---|---|---|---|",
    ]
    for target in TASKS:
        own, reference = ours.to_match(target, target), published("trained_steps", target, target)
        for source in TASKS:
            found, there = ours.to_match(source, target), published("trained_steps", source, target)
            if found is None or own is None or there is None or reference is None:
                continue
            mean = f"{found.mean:,.0f}" + (
                f" (not in {found.censored} of {found.cost.size})" if found.censored else ""
            )
            lines.append(
                f"| {target} | {'itself' if source == target else source} | {there.mean:,.0f} | {mean} "
                f"| {found.mean / own.mean:.2f} | {there.mean / reference.mean:.3f} |"
            )
    return lines


def equal_steps(ours: Ours, steps: int) -> list[str]:
    """Validation scores after as many trained steps on the target, from scratch and moved."""

    def reached(source: str, target: str) -> float:
        runs = ours.runs(source, target, "validation_score")
        return float(np.mean([run.score[run.cost < steps + UPDATE][-1] for run in runs]))

    at = {pair: reached(*pair) for pair in [*PAIRS, *((task, task) for task in TASKS)]}
    lines = [
        f"| to, after {steps:,} steps | from scratch | {' | '.join(f'from {task}' for task in TASKS)} |",
        "|---" * (len(TASKS) + 2) + "|",
    ]
    for target in TASKS:
        moved = [f"{at[source, target]:.2f}" if source != target else "" for source in TASKS]
        lines.append(f"| {target} | {at[target, target]:.2f} | {' | '.join(moved)} |")
    ahead = sum(at[a, b] > at[b, b] for a, b in PAIRS)
    return [*lines, "", f"Moved agents are ahead in {ahead} of {len(PAIRS)} pairs.", ""]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--benchmark", default="micro.parquet")
    parser.add_argument("--results", type=Path, default=Path("docs/results/published-settings"))
    given = parser.parse_args()
    ours = Ours(given.results, load_table(given.benchmark))
    longest = max(float(ours.curves["trained_steps"].max()), 1.0)  # type: ignore[arg-type]
    with looks():
        figures = given.results / "figures"
        save(performance(ours), figures, "performance")
        save(curves(ours, longest), figures, "curves")
        save(curves(ours, longest / 5), figures, "curves-first-part")
        save(steps_to_match(ours), figures, "steps-to-match")
    lines = [
        "# Ours beside the published numbers",
        "",
        f"Seeds: {', '.join(map(str, ours.seeds))}.",
        "",
        *table_of(ours),
        "",
        *matching_table(ours),
        "",
        *(line for steps in (500_000, 1_000_000) for line in equal_steps(ours, steps)),
    ]
    for name, _, regime, steps in REGIMES:
        pairs = better(ours, regime, steps)
        up = sum(d > 0 for *_, d in pairs)
        lines.append(f"- {name}: better than from scratch on the test metric in {up} of {len(pairs)} pairs")
    write_atomically(given.results / "numbers.md", ("\n".join(lines) + "\n").encode())
    print("\n".join(lines))


if __name__ == "__main__":
    main()
